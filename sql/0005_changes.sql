-- The queue of absolute changes, the attempts to send them, and the append-only audit of every move.

-- One row an account and one for '*' (every account). No row means: nothing may be sent.
create table controls (
  account text primary key,
  halted boolean not null default false,
  reason text,
  changed_at timestamptz not null default clock_timestamp()
);
insert into controls (account) values ('*');

-- The limits in force, copied from the configuration by each `enqueue` and `execute`, so that every host obeys the same.
create table limits (
  account text primary key references accounts,
  rate_per_campaign integer not null check (rate_per_campaign >= 0),
  rate_per_ad_set integer not null check (rate_per_ad_set >= 0),
  velocity_percent numeric(6, 3) not null check (velocity_percent between 0 and 100),
  velocity_window interval not null,
  floor_budget bigint not null check (floor_budget > 0),
  ceiling_budget bigint not null check (ceiling_budget >= floor_budget),
  -- How much may be raised in any rolling 24 hours. Null means that nobody has set it, and nothing is sent.
  cap_increase bigint check (cap_increase >= 0),
  freshness interval not null,
  settle interval not null,
  max_attempts integer not null check (max_attempts > 0)
);

create table change_states (state text primary key, in_flight boolean not null, terminal boolean not null);
insert into change_states values
  ('proposed', false, false), ('pending', false, false), ('claimed', true, false), ('executing', true, false),
  ('unknown', true, false), ('conflict', true, false), ('completed', false, true), ('failed', false, true),
  ('blocked', false, true), ('cancelled', false, true), ('expired', false, true);

create table legal_transitions (
  from_state text not null references change_states,
  to_state text not null references change_states,
  actor text not null check (actor in ('operator', 'age', 'enqueue', 'execute', 'authorise', 'reconcile')),
  primary key (from_state, to_state, actor)
);
insert into legal_transitions values
  ('proposed', 'pending', 'operator'),
  ('proposed', 'cancelled', 'operator'), ('pending', 'cancelled', 'operator'),
  ('proposed', 'expired', 'age'), ('pending', 'expired', 'age'),
  -- A newer decision about the same field replaces one that was not yet claimed.
  ('proposed', 'cancelled', 'enqueue'), ('pending', 'cancelled', 'enqueue'),
  ('pending', 'claimed', 'execute'),
  ('claimed', 'pending', 'execute'), ('claimed', 'pending', 'reconcile'),
  ('claimed', 'completed', 'execute'), ('claimed', 'conflict', 'execute'), ('claimed', 'blocked', 'execute'),
  ('claimed', 'executing', 'authorise'),
  ('executing', 'completed', 'execute'), ('executing', 'failed', 'execute'), ('executing', 'pending', 'execute'),
  ('executing', 'unknown', 'execute'), ('executing', 'unknown', 'reconcile'),
  ('unknown', 'completed', 'reconcile'), ('unknown', 'pending', 'reconcile'), ('unknown', 'conflict', 'reconcile'),
  ('unknown', 'cancelled', 'operator'), ('conflict', 'cancelled', 'operator'), ('conflict', 'completed', 'operator');

create table pending_ad_changes (
  account text not null references accounts,
  change_id uuid not null,
  decision_id uuid,
  decision_day date,
  run_id uuid not null,
  entity_kind text not null check (entity_kind in ('campaign', 'ad_set', 'ad')),
  entity_id text not null,
  campaign_id text not null,
  ad_set_id text,
  field text not null check (field in ('daily_budget', 'status')),
  expected_budget bigint,
  target_budget bigint,
  expected_status text,
  target_status text,
  wanted_budget bigint,
  reason text not null,
  clipped_by jsonb not null default '[]',
  fuzz_ppm integer not null default 0,
  jitter_ms integer not null check (jitter_ms between 0 and 600000),
  earliest_execute_at timestamptz not null,
  expires_at timestamptz not null,
  compensates uuid,
  created_at timestamptz not null,
  state text not null references change_states default 'pending',
  state_reason text,
  claimed_by text,
  claimed_at timestamptz,
  attempts integer not null default 0,
  observed_budget bigint,
  observed_status text,
  updated_at timestamptz not null,
  primary key (account, change_id),
  unique (account, decision_id),
  constraint budget_goes_to_its_owner check (
    field <> 'daily_budget' or (
      entity_kind in ('campaign', 'ad_set') and expected_status is null and target_status is null
      and expected_budget is not null and target_budget > 0 and target_budget <> expected_budget)),
  constraint only_ads_are_paused check (
    field <> 'status' or (
      entity_kind = 'ad' and expected_budget is null and target_budget is null
      and expected_status in ('ACTIVE', 'PAUSED') and target_status in ('ACTIVE', 'PAUSED')
      and target_status <> expected_status)),
  constraint completed_means_seen check (
    state <> 'completed' or (field = 'daily_budget' and observed_budget is not distinct from target_budget)
    or (field = 'status' and observed_status is not distinct from target_status))
);
-- Finished rows stay out of every index the hot path uses.
create unique index one_open_change on pending_ad_changes (account, entity_kind, entity_id, field)
  where state in ('proposed', 'pending', 'claimed', 'executing', 'unknown', 'conflict');
create index due_changes on pending_ad_changes (account, earliest_execute_at, change_id) where state = 'pending';
create index changes_in_flight on pending_ad_changes (account, change_id)
  where state in ('claimed', 'executing', 'unknown', 'conflict');

-- Written in the transaction that authorises the sending, so durable before the first byte.
create table change_attempts (
  account text not null,
  change_id uuid not null,
  attempt integer not null,
  entity_kind text not null,
  entity_id text not null,
  campaign_id text not null,
  ad_set_id text,
  field text not null,
  expected_budget bigint,
  target_budget bigint,
  target_status text,
  authorised_at timestamptz not null,
  authorised_by text not null,
  outcome text check (outcome in ('accepted', 'refused', 'deferred', 'unknown')),
  code text,
  detail text,
  finished_at timestamptz,
  primary key (account, change_id, attempt),
  foreign key (account, change_id) references pending_ad_changes
);
create index attempts_by_time on change_attempts (account, authorised_at);

create table ad_change_history (
  account text not null,
  seq bigint not null,
  at timestamptz not null,
  change_id uuid not null,
  from_state text,
  to_state text not null,
  actor text not null,
  entity_kind text not null,
  entity_id text not null,
  field text not null,
  expected text,
  target text not null,
  observed text,
  attempt integer not null,
  reason text,
  previous_hash bytea not null,
  hash bytea not null,
  primary key (account, at, seq)
) partition by range (at);
create index history_by_change on ad_change_history (account, change_id);

create table audit_heads (
  account text primary key references accounts,
  seq bigint not null default 0,
  hash bytea not null default '\x'
);

create function audit_hash(p_previous bytea, p_row ad_change_history) returns bytea language sql stable
set timezone = 'UTC' as $$
  select sha256(p_previous || convert_to(jsonb_build_array(
    p_row.account, p_row.seq, p_row.at, p_row.change_id, p_row.from_state, p_row.to_state, p_row.actor,
    p_row.entity_kind, p_row.entity_id, p_row.field, p_row.expected, p_row.target, p_row.observed, p_row.attempt,
    p_row.reason)::text, 'UTF8'))
$$;

create function refuse_rewriting() returns trigger language plpgsql as $$
begin
  raise exception '% on %: rows are never changed or removed', tg_op, tg_table_name using errcode = 'restrict_violation';
end
$$;
create trigger history_is_append_only before update or delete on ad_change_history
  for each row execute function refuse_rewriting();
create trigger history_is_never_truncated before truncate on ad_change_history
  for each statement execute function refuse_rewriting();
create trigger changes_are_never_deleted before delete on pending_ad_changes
  for each row execute function refuse_rewriting();
create trigger changes_are_never_truncated before truncate on pending_ad_changes
  for each statement execute function refuse_rewriting();
create trigger attempts_are_never_deleted before delete on change_attempts
  for each row execute function refuse_rewriting();
create trigger attempts_are_never_truncated before truncate on change_attempts
  for each statement execute function refuse_rewriting();

create function guard_change() returns trigger language plpgsql as $$
declare
  v_actor text := current_setting('adctl.actor', true);
begin
  if tg_op = 'INSERT' then
    if new.state not in ('proposed', 'pending') then
      raise exception 'a change begins proposed or pending, not %', new.state using errcode = 'check_violation';
    end if;
    return new;
  end if;
  if (new.account, new.change_id, new.decision_id, new.decision_day, new.run_id, new.entity_kind, new.entity_id,
      new.campaign_id, new.ad_set_id, new.field, new.expected_budget, new.target_budget, new.expected_status,
      new.target_status, new.wanted_budget, new.reason, new.clipped_by, new.fuzz_ppm, new.jitter_ms, new.expires_at,
      new.compensates, new.created_at)
     is distinct from
     (old.account, old.change_id, old.decision_id, old.decision_day, old.run_id, old.entity_kind, old.entity_id,
      old.campaign_id, old.ad_set_id, old.field, old.expected_budget, old.target_budget, old.expected_status,
      old.target_status, old.wanted_budget, old.reason, old.clipped_by, old.fuzz_ppm, old.jitter_ms, old.expires_at,
      old.compensates, old.created_at) then
    raise exception 'change %: what was decided is never rewritten', old.change_id using errcode = 'check_violation';
  end if;
  if new.state <> old.state and not exists (
      select from legal_transitions t
      where t.from_state = old.state and t.to_state = new.state and t.actor = v_actor) then
    raise exception 'change %: % may not move it from % to %', old.change_id, coalesce(v_actor, 'nobody'), old.state,
      new.state using errcode = 'check_violation';
  end if;
  if old.state = 'claimed' and new.state = 'pending' and exists (
      select from change_attempts a
      where a.account = old.account and a.change_id = old.change_id and a.outcome is null) then
    raise exception 'change %: an attempt is on its way', old.change_id using errcode = 'check_violation';
  end if;
  new.updated_at := adctl_now();
  return new;
end
$$;
create trigger guard_change before insert or update on pending_ad_changes
  for each row execute function guard_change();

-- The head row is locked until commit: the sequence has no gaps and one account's moves are in one order.
create function record_change() returns trigger language plpgsql as $$
declare
  v_row ad_change_history;
  v_head audit_heads;
begin
  if tg_op = 'UPDATE' and new.state = old.state then
    return null;
  end if;
  insert into audit_heads as h (account, seq) values (new.account, 1)
    on conflict (account) do update set seq = h.seq + 1 returning h.* into v_head;
  v_row.account := new.account;
  v_row.seq := v_head.seq;
  v_row.at := adctl_now();
  v_row.change_id := new.change_id;
  v_row.from_state := case when tg_op = 'UPDATE' then old.state end;
  v_row.to_state := new.state;
  v_row.actor := coalesce(current_setting('adctl.actor', true), '');
  v_row.entity_kind := new.entity_kind;
  v_row.entity_id := new.entity_id;
  v_row.field := new.field;
  v_row.expected := coalesce(new.expected_budget::text, new.expected_status);
  v_row.target := coalesce(new.target_budget::text, new.target_status);
  v_row.observed := coalesce(new.observed_budget::text, new.observed_status);
  v_row.attempt := new.attempts;
  v_row.reason := new.state_reason;
  v_row.previous_hash := v_head.hash;
  v_row.hash := audit_hash(v_head.hash, v_row);
  insert into ad_change_history select v_row.*;
  update audit_heads h set hash = v_row.hash where h.account = new.account;
  return null;
end
$$;
create trigger record_change after insert or update on pending_ad_changes
  for each row execute function record_change();

create function entity_lock_key(p_account text, p_kind text, p_id text) returns bigint language sql immutable as $$
  select hashtextextended('adctl.entity.' || p_account || '/' || p_kind || '/' || p_id, 0)
$$;

-- Claims the next due change of an account, or nothing. The session lock on the entity is taken in the same statement:
-- it is how others see that the owner lives, and PostgreSQL frees it when the owner dies. The caller releases it.
create function claim_pending_ad_change(p_account text, p_worker text) returns setof pending_ad_changes
language plpgsql as $$
declare
  v_change pending_ad_changes;
  v_busy uuid[] := '{}';
begin
  perform set_config('adctl.actor', 'execute', true);
  loop
    select c.* into v_change from pending_ad_changes c
    where c.account = p_account and c.state = 'pending' and c.change_id <> all (v_busy)
      and c.earliest_execute_at <= adctl_now() and c.expires_at > adctl_now()
    order by c.earliest_execute_at, c.change_id
    limit 1 for update skip locked;
    if not found then
      return;
    end if;
    if pg_try_advisory_lock(entity_lock_key(v_change.account, v_change.entity_kind, v_change.entity_id)) then
      return query
        update pending_ad_changes c set state = 'claimed', state_reason = null, claimed_by = p_worker,
          claimed_at = adctl_now()
        where c.account = v_change.account and c.change_id = v_change.change_id returning c.*;
      return;
    end if;
    v_busy := v_busy || v_change.change_id;
  end loop;
end
$$;

create type send_verdict as (
  verdict text, guard text, value text, allowed text, until timestamptz, attempt integer);

create function budget_verdict(p_change pending_ad_changes, p_limits limits, p_observed bigint) returns send_verdict
language plpgsql as $$
declare
  v_now timestamptz := adctl_now();
  v_low bigint;
  v_high bigint;
  v_oldest timestamptz;
  v_raised bigint;
begin
  if p_change.target_budget < p_limits.floor_budget or p_change.target_budget > p_limits.ceiling_budget then
    return ('block', case when p_change.target_budget < p_limits.floor_budget then 'floor' else 'ceiling' end,
      p_change.target_budget, p_limits.floor_budget || '..' || p_limits.ceiling_budget, null, null)::send_verdict;
  end if;
  if p_change.target_budget * 100 < p_observed * (100 - p_limits.velocity_percent)
     or p_change.target_budget * 100 > p_observed * (100 + p_limits.velocity_percent) then
    return ('block', 'velocity', p_change.target_budget, p_observed || ' ± ' || p_limits.velocity_percent || ' %',
      null, null)::send_verdict;
  end if;
  -- An attempt counts as applied unless Meta provably refused or deferred it; a value was in force until the attempt
  -- that replaced it.
  select min(least(a.expected_budget, a.target_budget)), max(greatest(a.expected_budget, a.target_budget)),
    min(a.authorised_at)
    into v_low, v_high, v_oldest
    from change_attempts a
    where a.account = p_change.account and a.entity_kind = p_change.entity_kind and a.entity_id = p_change.entity_id
      and a.field = 'daily_budget' and a.authorised_at > v_now - p_limits.velocity_window
      and coalesce(a.outcome, 'unknown') in ('accepted', 'unknown');
  if v_oldest is not null and (
      p_change.target_budget * 100 < v_high * (100 - p_limits.velocity_percent)
      or p_change.target_budget * 100 > v_low * (100 + p_limits.velocity_percent)) then
    return ('wait', 'velocity', p_change.target_budget, v_low || '..' || v_high || ' ± ' || p_limits.velocity_percent
      || ' %', v_oldest + p_limits.velocity_window, null)::send_verdict;
  end if;
  if p_change.target_budget > p_observed then
    select coalesce(sum(s.raise), 0), min(s.authorised_at) into v_raised, v_oldest from (
      select max(a.target_budget - a.expected_budget) as raise, max(a.authorised_at) as authorised_at
      from change_attempts a
      where a.account = p_change.account and a.field = 'daily_budget' and a.target_budget > a.expected_budget
        and a.authorised_at > v_now - interval '24 hours' and a.change_id <> p_change.change_id
        and coalesce(a.outcome, 'unknown') in ('accepted', 'unknown')
      group by a.change_id) s;
    if v_raised + p_change.target_budget - p_observed > p_limits.cap_increase then
      return ('wait', 'cap', v_raised + p_change.target_budget - p_observed, p_limits.cap_increase,
        coalesce(v_oldest, v_now) + interval '24 hours', null)::send_verdict;
    end if;
  end if;
  return ('send', null, null, null, null, null)::send_verdict;
end
$$;

create function rate_verdict(p_change pending_ad_changes, p_limits limits) returns send_verdict language plpgsql as $$
declare
  v_now timestamptz := adctl_now();
  v_hour timestamptz := v_now - interval '1 hour';
  v_count integer;
  v_oldest timestamptz;
  -- One change more is kept for taking a change back.
  v_ad_set_limit integer := p_limits.rate_per_ad_set + case when p_change.compensates is null then 0 else 1 end;
begin
  select count(*), min(a.authorised_at) into v_count, v_oldest from change_attempts a
    where a.account = p_change.account and a.campaign_id = p_change.campaign_id and a.authorised_at > v_hour;
  if v_count >= p_limits.rate_per_campaign then
    return ('wait', 'rate per campaign', v_count, p_limits.rate_per_campaign, v_oldest + interval '1 hour',
      null)::send_verdict;
  end if;
  if p_change.entity_kind = 'ad_set' and p_change.field = 'daily_budget' then
    select count(*), min(a.authorised_at) into v_count, v_oldest from change_attempts a
      where a.account = p_change.account and a.entity_kind = 'ad_set' and a.entity_id = p_change.entity_id
        and a.field = 'daily_budget' and a.authorised_at > v_hour;
    if v_count >= v_ad_set_limit then
      return ('wait', 'rate per ad set', v_count, v_ad_set_limit, v_oldest + interval '1 hour', null)::send_verdict;
    end if;
  end if;
  return ('send', null, null, null, null, null)::send_verdict;
end
$$;

-- The only way to `executing`: every guard that concurrency could break is judged here, on the fresh value the caller
-- has just read, in the transaction that also writes the attempt. One account's authorisations are in one order, by the
-- lock on the audit head. Answers `send` with the attempt's number, `wait` with when it may pass, or `block`.
create function authorise_send(p_account text, p_change_id uuid, p_worker text, p_read_at timestamptz,
  p_observed_budget bigint, p_observed_status text) returns send_verdict language plpgsql as $$
declare
  v_change pending_ad_changes;
  v_limits limits;
  v_verdict send_verdict;
  v_controls integer;
begin
  perform 1 from controls c where c.account in ('*', p_account) order by c.account for share;
  select count(*) into v_controls from controls c where c.account in ('*', p_account) and not c.halted;
  if v_controls <> 2 then
    return ('wait', 'halt', 'halted', 'running', null, null)::send_verdict;
  end if;
  perform 1 from audit_heads h where h.account = p_account for update;
  select * into strict v_change from pending_ad_changes c
    where c.account = p_account and c.change_id = p_change_id for update;
  if v_change.state <> 'claimed' or v_change.claimed_by is distinct from p_worker then
    raise exception 'change % is not claimed by %', p_change_id, p_worker using errcode = 'check_violation';
  end if;
  if p_observed_budget is distinct from v_change.expected_budget
     or p_observed_status is distinct from v_change.expected_status then
    raise exception 'change %: what was read is not what was expected', p_change_id using errcode = 'check_violation';
  end if;
  select * into v_limits from limits l where l.account = p_account;
  if not found then
    return ('wait', 'limits', 'no row', 'a row', null, null)::send_verdict;
  end if;
  if p_read_at < adctl_now() - v_limits.freshness then
    return ('wait', 'freshness', p_read_at, v_limits.freshness, adctl_now(), null)::send_verdict;
  end if;
  if v_limits.cap_increase is null then
    return ('wait', 'cap', 'not set', 'a number', null, null)::send_verdict;
  end if;
  v_verdict := rate_verdict(v_change, v_limits);
  if v_verdict.verdict = 'send' and v_change.field = 'daily_budget' then
    v_verdict := budget_verdict(v_change, v_limits, p_observed_budget);
  end if;
  if v_verdict.verdict <> 'send' then
    return v_verdict;
  end if;
  if v_change.attempts >= v_limits.max_attempts then
    return ('block', 'attempts', v_change.attempts, v_limits.max_attempts, null, null)::send_verdict;
  end if;
  insert into change_attempts (account, change_id, attempt, entity_kind, entity_id, campaign_id, ad_set_id, field,
    expected_budget, target_budget, target_status, authorised_at, authorised_by)
  values (p_account, p_change_id, v_change.attempts + 1, v_change.entity_kind, v_change.entity_id, v_change.campaign_id,
    v_change.ad_set_id, v_change.field, v_change.expected_budget, v_change.target_budget, v_change.target_status,
    adctl_now(), p_worker);
  perform set_config('adctl.actor', 'authorise', true);
  update pending_ad_changes c set state = 'executing', attempts = v_change.attempts + 1
    where c.account = p_account and c.change_id = p_change_id;
  v_verdict.attempt := v_change.attempts + 1;
  return v_verdict;
end
$$;
