-- What the two syncs keep besides the vendors' objects: where a walk stands, what was missed, events that were handled,
-- every reading of an insight, reports that Meta is still making, and until when Meta wants to be left alone.

-- A walk through HubSpot that has not ended: a run that dies leaves it, the next one goes on behind its cursor.
create table sync_walks (
  account text not null references accounts,
  source text not null,
  -- Of the run that began it: the watermark may move to this time less the index's lag, however late the walk ends.
  started_at timestamptz not null,
  whole boolean not null,
  since timestamptz,
  -- The watermark when it began: what changed before it should have been found already.
  covered_until timestamptz,
  phase text not null check (phase in ('deals', 'archived')),
  cursor text not null,
  updated_at timestamptz not null,
  primary key (account, source)
);

-- Deals that only a whole walk found changed although the watermark had passed them.
create table sync_misses (
  account text not null references accounts,
  source text not null,
  walk_started_at timestamptz not null,
  object_id text not null,
  modified_at timestamptz not null,
  primary key (account, source, walk_started_at, object_id)
);

-- Webhook events that were handled, by a digest of what tells two of them apart; their values are not kept.
create table webhook_events (
  account text not null references accounts,
  event_key bytea not null check (octet_length(event_key) = 16),
  subscription text not null,
  object_id text not null,
  occurred_at timestamptz not null,
  handled_at timestamptz not null,
  primary key (account, event_key)
);
create index webhook_events_by_time on webhook_events (account, handled_at);

-- Every reading whose figures differed from the one before: what was known of a day at a time.
create table insight_readings (
  -- Written by the statement that writes insights, which looks after the account.
  account text not null,
  ad_id text not null,
  day date not null,
  read_at timestamptz not null,
  first_day date not null,
  ad_set_id text not null,
  campaign_id text not null,
  impressions bigint not null,
  clicks bigint not null,
  link_clicks bigint not null,
  spend bigint not null,
  leads bigint not null,
  purchases bigint not null,
  purchase_value bigint not null,
  windows text not null,
  reach bigint,
  primary key (account, ad_id, day, read_at)
) partition by range (read_at);

do $$
declare
  v_first date;
  v_last date;
begin
  select min(i.read_at at time zone 'UTC')::date, max(i.read_at at time zone 'UTC')::date into v_first, v_last
    from insights i;
  if v_first is not null then
    perform ensure_months('insight_readings', v_first, v_last);
    insert into insight_readings (account, ad_id, day, read_at, first_day, ad_set_id, campaign_id, impressions, clicks,
        link_clicks, spend, leads, purchases, purchase_value, windows, reach)
      select account, ad_id, day, read_at, first_day, ad_set_id, campaign_id, impressions, clicks, link_clicks, spend,
        leads, purchases, purchase_value, windows, reach
      from insights;
  end if;
end
$$;

create trigger insight_readings_are_append_only before update or delete on insight_readings
  for each row execute function refuse_rewriting();
create trigger insight_readings_are_never_truncated before truncate on insight_readings
  for each statement execute function refuse_rewriting();

-- Parts of a range of insights that are read as asynchronous reports; a row goes with the rows it brought.
create table insight_reports (
  account text not null references accounts,
  since date not null,
  until date not null check (until >= since),
  -- Empty for the whole account.
  campaign_id text not null,
  -- Both null while nobody has asked Meta for it.
  report_run_id text,
  requested_at timestamptz,
  -- Of the run that wanted it: the watermark of insights moves to this time when the last part is read.
  wanted_at timestamptz not null,
  primary key (account, since, until, campaign_id),
  check ((report_run_id is null) = (requested_at is null))
);

create table meta_waits (
  account text not null references accounts,
  use_case text not null,
  not_before timestamptz not null,
  noted_at timestamptz not null,
  primary key (account, use_case)
);

-- Values that a person or another tool put at Meta: for a while adctl leaves such an object alone.
create table person_edits (
  account text not null references accounts,
  entity_kind text not null,
  entity_id text not null,
  field text not null,
  old_value text not null,
  new_value text not null,
  edited_at timestamptz not null,
  noticed_at timestamptz not null,
  primary key (account, entity_kind, entity_id, field, edited_at)
);
create index person_edits_by_time on person_edits (account, edited_at);

-- What a person replaced was in force until then, as what we sent is: velocity counts it, whatever lease an edit has.
create function edited_verdict(p_change pending_ad_changes, p_limits limits) returns send_verdict
language sql stable as $$
  with held as (
    select e.edited_at, case when v.said ~ '^[0-9]{1,15}$' then v.said::bigint end as value
    from person_edits e cross join lateral unnest(array[e.old_value, e.new_value]) v (said)
    where e.account = p_change.account and e.entity_kind = p_change.entity_kind and e.entity_id = p_change.entity_id
      and e.field = 'daily_budget' and e.edited_at > adctl_now() - p_limits.velocity_window
  )
  select ('wait', 'velocity', p_change.target_budget,
    min(h.value) || '..' || max(h.value) || ' ± ' || trim_scale(p_limits.velocity_percent) || ' %',
    max(h.edited_at) + p_limits.velocity_window, null)::send_verdict
  from held h
  where not within_velocity(p_change.target_budget, h.value, p_limits.velocity_percent)
  having count(*) > 0
$$;

-- Meta's smallest daily budgets in the account's currency, minor units, by what the ad set is optimised for.
create table minimum_budgets (
  account text not null references accounts,
  kind text not null,
  amount bigint not null check (amount >= 0),
  read_at timestamptz not null,
  primary key (account, kind)
);

-- A foreign key looks the account up for every row, which is a third of a bulk load; once a statement is enough. That an
-- account does not go while it has figures is kept by its other tables.
create function refuse_unknown_accounts() returns trigger language plpgsql as $$
declare
  v_account text;
begin
  select f.account into v_account
    from (select distinct n.account from fresh n) f
    where not exists (select from accounts a where a.account = f.account);
  if found then
    raise exception '%: account % is not known', tg_table_name, v_account using errcode = 'foreign_key_violation';
  end if;
  return null;
end
$$;

alter table insights drop constraint insights_account_fkey;
create trigger insights_of_known_accounts after insert on insights referencing new table as fresh
  for each statement execute function refuse_unknown_accounts();
alter table deals drop constraint deals_account_fkey;
create trigger deals_of_known_accounts after insert on deals referencing new table as fresh
  for each statement execute function refuse_unknown_accounts();
