-- The queue of absolute changes, the attempts to send them, and the append-only audit of every move.

-- One row an account and one for '*' (every account). No row means: nothing may be sent.
create table controls (
  account text primary key,
  halted boolean not null default false,
  reason text,
  -- After this moment nothing may be sent until somebody arms sending anew. Null means: until it is halted.
  armed_until timestamptz,
  changed_at timestamptz not null default clock_timestamp()
);
insert into controls (account) values ('*');

-- The limits in force: of what the hosts of an account are configured with, the strictest, so that every host obeys the
-- same.
create table limits (
  account text primary key references accounts,
  rate_per_campaign integer not null check (rate_per_campaign >= 0),
  rate_per_ad_set integer not null check (rate_per_ad_set >= 0),
  velocity_percent numeric(6, 3) not null check (velocity_percent between 0 and 100),
  velocity_window interval not null,
  floor_budget bigint not null check (floor_budget > 0),
  ceiling_budget bigint not null check (ceiling_budget >= floor_budget),
  -- Those of single campaigns and ad sets, by id; the narrower counts.
  floors jsonb not null default '{}',
  ceilings jsonb not null default '{}',
  -- How much may be raised in any rolling 24 hours. Null means that nobody has set it, and nothing is sent.
  cap_increase bigint check (cap_increase >= 0),
  freshness interval not null,
  settle interval not null,
  max_attempts integer not null check (max_attempts > 0),
  -- In the account's own time zone, and may pass midnight. Both null: none.
  quiet_from time,
  quiet_until time,
  check ((quiet_from is null) = (quiet_until is null)),
  kill_last_ad boolean not null default false
);
-- What each host is configured with, written down by its every `execute` and `reconcile`.
create table host_limits (
  like limits including constraints including defaults,
  host text not null,
  seen_at timestamptz not null,
  primary key (account, host),
  foreign key (account) references accounts
);

create table change_states (state text primary key, terminal boolean not null);
insert into change_states values
  ('proposed', false), ('pending', false), ('claimed', false), ('executing', false), ('unknown', false),
  ('conflict', false), ('completed', true), ('failed', true), ('blocked', true), ('cancelled', true), ('expired', true);

-- Who may move a change from where to where; from null is its beginning.
create table legal_transitions (
  from_state text references change_states,
  to_state text not null references change_states,
  actor text not null
    check (actor in ('operator', 'age', 'enqueue', 'undo', 'execute', 'authorise', 'reconcile')),
  unique nulls not distinct (from_state, to_state, actor)
);
insert into legal_transitions values
  (null, 'proposed', 'enqueue'), (null, 'pending', 'enqueue'), (null, 'proposed', 'undo'), (null, 'pending', 'undo'),
  ('proposed', 'pending', 'operator'),
  ('proposed', 'cancelled', 'operator'), ('pending', 'cancelled', 'operator'),
  ('proposed', 'expired', 'age'), ('pending', 'expired', 'age'),
  -- A newer decision about the same field, or an undo, replaces a change that was not yet claimed.
  ('proposed', 'cancelled', 'enqueue'), ('pending', 'cancelled', 'enqueue'),
  ('proposed', 'cancelled', 'undo'), ('pending', 'cancelled', 'undo'),
  ('pending', 'claimed', 'execute'),
  ('claimed', 'pending', 'execute'), ('claimed', 'pending', 'reconcile'),
  ('claimed', 'completed', 'execute'), ('claimed', 'conflict', 'execute'), ('claimed', 'blocked', 'execute'),
  ('claimed', 'executing', 'authorise'),
  ('executing', 'completed', 'execute'), ('executing', 'failed', 'execute'), ('executing', 'pending', 'execute'),
  ('executing', 'unknown', 'execute'), ('executing', 'unknown', 'reconcile'),
  ('unknown', 'completed', 'reconcile'), ('unknown', 'pending', 'reconcile'), ('unknown', 'conflict', 'reconcile'),
  ('unknown', 'cancelled', 'operator'), ('conflict', 'cancelled', 'operator'), ('conflict', 'completed', 'operator');

-- What a change may be is asked once, by the trigger that lets it in: a check constraint is read and planned anew by every
-- statement that moves one.
create table pending_ad_changes (
  account text not null references accounts,
  change_id uuid not null,
  -- What carries out a decision goes by its id, so that no decision is queued twice; what takes a change back has none.
  decision_id uuid,
  decision_day date,
  run_id uuid not null,
  entity_kind text not null,
  entity_id text not null,
  campaign_id text not null,
  ad_set_id text,
  field text not null,
  expected_budget bigint,
  target_budget bigint,
  expected_status text,
  target_status text,
  wanted_budget bigint,
  reason text not null,
  clipped_by jsonb not null default '[]',
  fuzz_ppm integer not null default 0,
  jitter_ms integer not null,
  earliest_execute_at timestamptz not null,
  expires_at timestamptz not null,
  compensates uuid,
  created_at timestamptz not null,
  state text not null default 'pending',
  state_reason text,
  approved_by text,
  approved_at timestamptz,
  claimed_by text,
  claimed_at timestamptz,
  attempts integer not null default 0,
  observed_budget bigint,
  observed_status text,
  updated_at timestamptz not null,
  -- An index that names the state would be written by every move; these change less often than it does.
  open boolean not null generated always as (
    state in ('proposed', 'pending', 'claimed', 'executing', 'unknown', 'conflict')) stored,
  in_line boolean not null generated always as (state in ('pending', 'claimed')) stored,
  stands boolean not null generated always as (state not in ('failed', 'blocked', 'cancelled', 'expired')) stored,
  primary key (account, change_id),
  foreign key (account, compensates) references pending_ad_changes
) with (fillfactor = 50);
-- Finished rows stay out of every index the hot path uses.
create unique index one_open_change on pending_ad_changes (account, entity_kind, entity_id, field) where open;
create index due_changes on pending_ad_changes (account, earliest_execute_at, change_id) where in_line;
-- What was taken back once is not taken back again.
create unique index one_live_undo on pending_ad_changes (account, compensates)
  where compensates is not null and stands;

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
create index attempts_by_entity on change_attempts (account, entity_id, authorised_at);

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
  primary key (account, seq)
);

create table audit_heads (
  account text primary key references accounts,
  seq bigint not null default 0,
  hash bytea not null default '\x'
);

-- What a link's hash is over besides the link before: its place, its moment in UTC whatever the session's time zone is, and
-- its row as text, which tells apart all that differs.
create function audit_moment(p_at timestamptz) returns text language sql stable as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
$$;

create function link_text(p_row ad_change_history) returns text language sql stable as $$
  select row(p_row.account, p_row.change_id, p_row.from_state, p_row.to_state, p_row.actor, p_row.entity_kind,
    p_row.entity_id, p_row.field, p_row.expected, p_row.target, p_row.observed, p_row.attempt, p_row.reason)::text
$$;

create function link_hash(p_previous bytea, p_seq bigint, p_moment text, p_text text) returns bytea
language sql stable as $$
  select sha256(p_previous || convert_to(p_seq || ' ' || p_moment || ' ' || p_text, 'UTF8'))
$$;

create function audit_hash(p_previous bytea, p_row ad_change_history) returns bytea language sql stable as $$
  select link_hash(p_previous, p_row.seq, audit_moment(p_row.at), link_text(p_row))
$$;

create function refuse_rewriting() returns trigger language plpgsql as $$
begin
  raise exception '% on %: %', tg_op, tg_table_name, coalesce(tg_argv[0], 'rows are never changed or removed')
    using errcode = 'restrict_violation';
end
$$;
create trigger history_is_append_only before update or delete on ad_change_history
  for each row execute function refuse_rewriting();
create trigger history_is_never_truncated before truncate on ad_change_history
  for each statement execute function refuse_rewriting();
create trigger heads_are_never_deleted before delete on audit_heads
  for each row execute function refuse_rewriting();
create trigger heads_are_never_truncated before truncate on audit_heads
  for each statement execute function refuse_rewriting();
-- An update that names one of these columns is refused, whatever it would write there.
create trigger what_was_decided_stays before update of account, change_id, decision_id, decision_day, run_id,
  entity_kind, entity_id, campaign_id, ad_set_id, field, expected_budget, target_budget, expected_status, target_status,
  wanted_budget, reason, clipped_by, fuzz_ppm, jitter_ms, expires_at, compensates, created_at on pending_ad_changes
  for each statement execute function refuse_rewriting('what was decided is never rewritten');
create trigger changes_are_never_deleted before delete on pending_ad_changes
  for each row execute function refuse_rewriting();
create trigger changes_are_never_truncated before truncate on pending_ad_changes
  for each statement execute function refuse_rewriting();
create trigger attempts_are_never_deleted before delete on change_attempts
  for each row execute function refuse_rewriting();
create trigger attempts_are_never_truncated before truncate on change_attempts
  for each statement execute function refuse_rewriting();

create function current_actor() returns text language sql stable as $$
  select nullif(current_setting('adctl.actor', true), '')
$$;

-- No request of this change can still be on its way to Meta. Without limits nobody knows how long that takes.
create function change_is_settled(p_account text, p_change_id uuid) returns boolean language sql stable as $$
  select not exists (
    select from change_attempts a left join limits l on l.account = a.account
    where a.account = p_account and a.change_id = p_change_id
      and (a.authorised_at <= adctl_now() - l.settle) is not true)
$$;

-- Tries that a change has used up: what Meta put off was none.
create function attempts_made(p_account text, p_change_id uuid) returns bigint language sql stable as $$
  select count(*) from change_attempts a
  where a.account = p_account and a.change_id = p_change_id and a.outcome is distinct from 'deferred'
$$;

-- Why this is no change that adctl makes, or null: a budget goes to its owner, an ad is paused or started.
create function decided_refusal(p_new pending_ad_changes) returns text language sql immutable as $$
  select case
    when p_new.field = 'daily_budget' and (
      p_new.entity_kind in ('campaign', 'ad_set') and num_nonnulls(p_new.expected_status, p_new.target_status) = 0
      and p_new.expected_budget >= 0 and p_new.target_budget > 0 and p_new.target_budget <> p_new.expected_budget
      ) is not true then 'a budget goes to its owner, from an amount to another one'
    when p_new.field = 'status' and (
      p_new.entity_kind = 'ad' and num_nonnulls(p_new.expected_budget, p_new.target_budget) = 0
      and p_new.expected_status in ('ACTIVE', 'PAUSED') and p_new.target_status in ('ACTIVE', 'PAUSED')
      and p_new.target_status <> p_new.expected_status
      ) is not true then 'an ad, and nothing else, is paused or started'
    when p_new.field not in ('daily_budget', 'status') then 'nothing but daily budgets and status is changed'
    when p_new.decision_id <> p_new.change_id then 'a decision is queued under its own id'
    when p_new.jitter_ms not between 0 and 600000 then 'a pause takes no more than ten minutes'
  end
$$;

create function guard_new_change() returns trigger language plpgsql as $$
declare
  v_refusal constant text := decided_refusal(new);
begin
  if v_refusal is not null then
    raise exception 'change %: %', new.change_id, v_refusal using errcode = 'check_violation';
  end if;
  if not exists (select from legal_transitions t
                 where t.from_state is null and t.to_state = new.state and t.actor = current_actor()) then
    raise exception 'change %: % may not begin one as %', new.change_id, coalesce(current_actor(), 'nobody'), new.state
      using errcode = 'check_violation';
  end if;
  if num_nonnulls(new.approved_by, new.approved_at, new.claimed_by, new.claimed_at, new.observed_budget,
                  new.observed_status) > 0 or new.attempts <> 0 then
    raise exception 'change %: nothing has happened to a new change', new.change_id using errcode = 'check_violation';
  end if;
  -- What an undo may use (a sending more in an hour) is for undoing: it takes back what was seen at Meta.
  if (current_actor() = 'undo') <> (new.compensates is not null) or new.compensates is not null and not exists (
      select from pending_ad_changes o
      where o.account = new.account and o.change_id = new.compensates and o.state = 'completed'
        and o.entity_kind = new.entity_kind and o.entity_id = new.entity_id and o.field = new.field
        and o.target_budget is not distinct from new.expected_budget
        and o.target_status is not distinct from new.expected_status) then
    raise exception 'change %: an undo, and nothing else, takes back a completed change of the same field',
      new.change_id using errcode = 'check_violation';
  end if;
  return new;
end
$$;
create trigger guard_new_change before insert on pending_ad_changes
  for each row execute function guard_new_change();

-- Why a change's bookkeeping may not move like this, whoever asks, or null: each part moves only with its own transition.
create function bookkeeping_refusal(p_old pending_ad_changes, p_new pending_ad_changes) returns text
language sql immutable as $$
  select case
    when (p_new.approved_by, p_new.approved_at) is distinct from (p_old.approved_by, p_old.approved_at)
      and (p_old.state, p_new.state) <> ('proposed', 'pending') then 'only an approval says who approved it and when'
    when (p_new.claimed_by, p_new.claimed_at) is distinct from (p_old.claimed_by, p_old.claimed_at)
      and (p_old.state, p_new.state) <> ('pending', 'claimed') then 'only a claim says who claimed it'
    when p_new.attempts <> p_old.attempts and (p_old.state, p_new.state) <> ('claimed', 'executing')
      then 'only an authorisation counts attempts'
    when p_new.earliest_execute_at <> p_old.earliest_execute_at and p_new.state <> 'pending'
      then 'only what is pending is put off'
  end
$$;

-- Why a change may not make this move now although its actor may make such moves, or null. Only the branch of a move is
-- made ready: that takes longer than to answer it.
create function move_refusal(p_old pending_ad_changes, p_new pending_ad_changes, p_now timestamptz) returns text
language plpgsql stable as $$
declare
  v_unsaid constant boolean := coalesce(trim(p_new.state_reason), '') = '';
begin
  if p_new.state = 'claimed' then
    return case
      when num_nulls(p_new.claimed_by, p_new.claimed_at) > 0 then 'a claim names its worker'
      when (p_new.earliest_execute_at <= p_now) is not true then 'it is not due before ' || p_new.earliest_execute_at
      when (p_new.expires_at > p_now) is not true then 'it expired at ' || p_new.expires_at
    end;
  elsif p_new.state = 'completed' then
    return case
      when p_old.state = 'conflict' and (v_unsaid or p_new.state_reason is not distinct from p_old.state_reason)
        then 'whoever ends it says why'
      when (p_new.observed_budget, p_new.observed_status) is distinct from (p_new.target_budget, p_new.target_status)
        then 'it is not seen that the target stands'
    end;
  elsif p_new.state = 'pending' then
    return case
      when p_old.state = 'proposed' and coalesce(trim(p_new.approved_by), '') = ''
        then 'an approval names who approves'
      when p_old.state = 'claimed' and v_unsaid then 'it is not said why'
    end;
  elsif p_new.state = 'cancelled' then
    return case
      when v_unsaid or p_new.state_reason is not distinct from p_old.state_reason then 'whoever ends it says why'
    end;
  elsif p_new.state = 'expired' then
    return case when (p_new.expires_at <= p_now) is not true then 'it expires at ' || p_new.expires_at end;
  end if;
  return null;
end
$$;

-- Whether a move rests on what is known of the change's attempts.
create function needs_proof(p_old text, p_new text) returns boolean language sql immutable as $$
  select p_old in ('executing', 'unknown') or p_old = 'claimed' and p_new in ('pending', 'executing')
$$;

-- Why what is known of a change's attempts does not allow such a move, or null.
create function proof_refusal(p_old pending_ad_changes, p_new pending_ad_changes) returns text
language plpgsql stable as $$
declare
  v_last change_attempts;
begin
  select a.* into v_last from change_attempts a
    where a.account = p_old.account and a.change_id = p_old.change_id order by a.attempt desc limit 1;
  return case p_old.state || ' ' || p_new.state
    when 'claimed pending' then
      case when v_last.attempt is not null and v_last.outcome is null then 'an attempt is on its way' end
    when 'claimed executing' then
      case when p_new.attempts <> p_old.attempts + 1 or v_last.attempt is distinct from p_new.attempts
        or v_last.outcome is not null then 'no attempt is written down' end
    when 'executing completed' then
      case when v_last.outcome is null then 'its attempt has no answer' end
    when 'executing failed' then
      case when v_last.outcome is distinct from 'refused' then 'it is not proved that Meta refused it' end
    when 'executing pending' then
      case when coalesce(v_last.outcome, '') not in ('refused', 'deferred') then 'it is not proved that it was not done'
      end
    when 'unknown pending' then
      case when not change_is_settled(p_old.account, p_old.change_id) then 'a request may still be on its way'
        when (p_new.observed_budget, p_new.observed_status) is distinct from (p_old.expected_budget, p_old.expected_status)
          then 'it is not seen that the old value stands'
        when (select l.max_attempts from limits l where l.account = p_old.account)
          <= attempts_made(p_old.account, p_old.change_id) then 'no attempt is left' end
    when 'unknown cancelled' then
      case when not change_is_settled(p_old.account, p_old.change_id) then 'a request may still be on its way' end
  end;
end
$$;

-- When a change was moved, and when it was approved, whatever the approval says. A move that says itself when it is made
-- saves this.
create function stamp_change() returns trigger language plpgsql as $$
begin
  new.updated_at := adctl_now();
  if (old.state, new.state) = ('proposed', 'pending') then
    new.approved_at := new.updated_at;
  end if;
  return new;
end
$$;
create trigger stamp_change before update on pending_ad_changes
  for each row when (new.updated_at = old.updated_at or old.state = 'proposed') execute function stamp_change();

-- Every attempt of a change sends the same integer, is written down by authorise_send, and is answered once.
create function guard_attempt() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    if current_actor() is distinct from 'authorise' or num_nonnulls(new.outcome, new.finished_at) > 0 or not exists (
        select from pending_ad_changes c
        where c.account = new.account and c.change_id = new.change_id and c.state = 'claimed'
          and new.attempt = c.attempts + 1
          and (c.entity_kind, c.entity_id, c.campaign_id, c.ad_set_id, c.field, c.expected_budget, c.target_budget,
               c.target_status)
            is not distinct from
              (new.entity_kind, new.entity_id, new.campaign_id, new.ad_set_id, new.field, new.expected_budget,
               new.target_budget, new.target_status)) then
      raise exception 'change %: attempt % is not one that was authorised', new.change_id, new.attempt
        using errcode = 'check_violation';
    end if;
    return new;
  end if;
  if old.outcome is not null or new.outcome is null or
     to_jsonb(new) - '{outcome,code,detail,finished_at}'::text[] <>
     to_jsonb(old) - '{outcome,code,detail,finished_at}'::text[] then
    raise exception 'change %: attempt % is answered once and never rewritten', old.change_id, old.attempt
      using errcode = 'check_violation';
  end if;
  new.finished_at := coalesce(new.finished_at, adctl_now());
  return new;
end
$$;
create trigger guard_attempt before insert or update on change_attempts
  for each row execute function guard_attempt();

-- The link of the audit that a move of a change makes; when and where it joins the chain is not yet known.
create function link_of(p_change pending_ad_changes, p_from text) returns ad_change_history language sql stable as $$
  select row(p_change.account, null, null, p_change.change_id, p_from, p_change.state, current_actor(),
    p_change.entity_kind, p_change.entity_id, p_change.field,
    coalesce(p_change.expected_budget::text, p_change.expected_status),
    coalesce(p_change.target_budget::text, p_change.target_status),
    coalesce(p_change.observed_budget::text, p_change.observed_status),
    p_change.attempts, p_change.state_reason, null, null)::ad_change_history
$$;

-- Appends the links of one account. Its head row is locked until commit: the sequence has no gaps and one account's
-- moves are in one order. Returns the last link's place, so that it can be called by an assignment, which is quicker than
-- a query.
create function append_links(p_links ad_change_history[]) returns bigint language plpgsql as $$
declare
  v_head record;
  v_moment text;
  v_link ad_change_history;
  v_chain ad_change_history[];
begin
  -- To stand in line for the head and be woken takes longer than another's move does: many workers look again first.
  for v_try in 1..40 loop
    select h.account, h.seq, h.hash, adctl_now() as now into v_head
      from audit_heads h where h.account = p_links[1].account for update skip locked;
    exit when found;
    exit when not exists (select from audit_heads h where h.account = p_links[1].account);
    perform pg_sleep(0.001);
  end loop;
  if v_head.account is null then
    insert into audit_heads as h (account) values (p_links[1].account)
      on conflict (account) do update set seq = h.seq returning h.account, h.seq, h.hash, adctl_now() as now into v_head;
  end if;
  v_moment := audit_moment(v_head.now);
  foreach v_link in array p_links loop
    v_head.seq := v_head.seq + 1;
    v_link.seq := v_head.seq;
    v_link.at := v_head.now;
    v_link.previous_hash := v_head.hash;
    v_head.hash := link_hash(v_head.hash, v_head.seq, v_moment, link_text(v_link));
    v_link.hash := v_head.hash;
    v_chain := v_chain || v_link;
  end loop;
  with written as (
    insert into ad_change_history select l.* from unnest(v_chain) l
  )
  update audit_heads h set seq = v_head.seq, hash = v_head.hash where h.account = v_head.account;
  return v_head.seq;
end
$$;

-- Statement by statement: a batch of moves locks and writes the head once.
create function record_new_changes() returns trigger language plpgsql as $$
begin
  perform append_links(array_agg(link_of(a, null) order by a.earliest_execute_at, a.change_id))
    from added a group by a.account;
  return null;
end
$$;
create trigger record_new_changes after insert on pending_ad_changes
  referencing new table as added for each statement execute function record_new_changes();

-- The guard of every move, and its link. What a statement did is judged when it is done, and whatever is refused takes it
-- all back. Asks the database as little as it can, for it stands in the way of every move.
create function record_moves() returns trigger language plpgsql as $$
declare
  v_actor constant text := current_actor();
  v_olds cursor for select o.* from old_rows o;
  v_old pending_ad_changes;
  v_new pending_ad_changes;
  v_may boolean;
  v_now timestamptz;
  v_from text;
  v_to text;
  v_refusal text;
  v_links ad_change_history[] := '{}';
  v_last bigint;
begin
  open v_olds;
  for v_new in select n.* from new_rows n loop
    -- The rows before and after an update come in one order.
    fetch v_olds into v_old;
    if (v_old.account, v_old.change_id) is distinct from (v_new.account, v_new.change_id) then
      raise exception 'change %: its row from before is not known', v_new.change_id;
    end if;
    if (v_old.state, v_new.state) is distinct from (v_from, v_to) then
      v_from := v_old.state;
      v_to := v_new.state;
      v_may := exists (select from legal_transitions t
                       where t.from_state = v_from and t.to_state = v_to and t.actor = v_actor);
      v_now := case when v_to in ('claimed', 'expired') then adctl_now() end;
    end if;
    v_refusal := case
      when not v_may and not v_old.open then 'it is ' || v_from || ' for good'
      when not v_may and v_from <> v_to
        then coalesce(v_actor, 'nobody') || ' may not move it from ' || v_from || ' to ' || v_to
      else 'from ' || v_from || ' to ' || v_to || ': ' || coalesce(bookkeeping_refusal(v_old, v_new),
        case when v_from <> v_to then move_refusal(v_old, v_new, v_now) end,
        case when needs_proof(v_from, v_to) then proof_refusal(v_old, v_new) end)
    end;
    if v_refusal is not null then
      raise exception 'change %: %', v_new.change_id, v_refusal using errcode = 'check_violation';
    end if;
    continue when v_from = v_to;
    if v_to = 'unknown' then
      -- A worker that died or sleeps on has no say any more in what its attempt proved.
      update change_attempts a set outcome = 'unknown', detail = 'its sender never told'
        where a.account = v_new.account and a.change_id = v_new.change_id and a.outcome is null;
    end if;
    if v_links[1].account <> v_new.account then
      v_last := append_links(v_links);
      v_links := '{}';
    end if;
    v_links := v_links || link_of(v_new, v_from);
  end loop;
  -- Before PostgreSQL 16 an open cursor's name is its variable's: the next statement's would be taken.
  close v_olds;
  if cardinality(v_links) > 0 then
    v_last := append_links(v_links);
  end if;
  return null;
end
$$;
create trigger record_moves after update on pending_ad_changes
  referencing old table as old_rows new table as new_rows for each statement execute function record_moves();

create function entity_lock_key(p_account text, p_kind text, p_id text) returns bigint language sql immutable as $$
  select hashtextextended('adctl.entity.' || p_account || '/' || p_kind || '/' || p_id, 0)
$$;

-- Claims the next due changes of an account, up to a number. The session lock on the entity is taken in the same
-- statement: it is how others see that the owner lives, and PostgreSQL frees it when the owner dies. The caller releases
-- it. The commit need not reach the disk: a claim that a crash of the server undoes was followed by nothing, for what is
-- sent is first written down by a commit that does, and that one takes the claim along.
create function claim_pending_ad_change(p_account text, p_worker text, p_limit integer default 1)
returns setof pending_ad_changes language plpgsql as $$
declare
  v_now constant timestamptz := adctl_now();
  v_actor constant text := set_config('adctl.actor', 'execute', true);
  v_commit constant text := set_config('synchronous_commit', 'off', true);
  -- Planning anew for every claim would cost more than the claim.
  v_plan constant text := set_config('plan_cache_mode', 'force_generic_plan', true);
  v_claimed integer;
  v_due record;
begin
  return query
    update pending_ad_changes c
      set state = 'claimed', state_reason = null, claimed_by = p_worker, claimed_at = v_now, updated_at = v_now
      where c.account = p_account and c.change_id = any (array(
        select d.change_id from (
          select c.change_id, c.entity_kind, c.entity_id from pending_ad_changes c
          where c.account = p_account and c.in_line and c.state = 'pending'
            and c.earliest_execute_at <= v_now and c.expires_at > v_now
          order by c.earliest_execute_at, c.change_id
          limit p_limit for update skip locked) d
        where pg_try_advisory_lock(entity_lock_key(p_account, d.entity_kind, d.entity_id)))) returning c.*;
  get diagnostics v_claimed = row_count;
  -- What others hold is passed over, one after the other.
  if v_claimed < p_limit then
    for v_due in
      select c.change_id, c.entity_kind, c.entity_id from pending_ad_changes c
      where c.account = p_account and c.in_line and c.state = 'pending'
        and c.earliest_execute_at <= v_now and c.expires_at > v_now
      order by c.earliest_execute_at, c.change_id for update skip locked
    loop
      continue when not pg_try_advisory_lock(entity_lock_key(p_account, v_due.entity_kind, v_due.entity_id));
      return query
        update pending_ad_changes c
          set state = 'claimed', state_reason = null, claimed_by = p_worker, claimed_at = v_now, updated_at = v_now
          where c.account = p_account and c.change_id = v_due.change_id returning c.*;
      v_claimed := v_claimed + 1;
      exit when v_claimed = p_limit;
    end loop;
  end if;
end
$$;

-- Whether this very session holds the entity's lock, by which others see that the owner of a change lives.
create function holds_entity_lock(p_account text, p_kind text, p_id text) returns boolean language sql stable as $$
  select exists (
    select from pg_locks l
    where l.locktype = 'advisory' and l.pid = pg_backend_pid() and l.objsubid = 1
      and (l.classid::bigint << 32) | l.objid::bigint = entity_lock_key(p_account, p_kind, p_id))
$$;

-- `until` is when a `wait` passes if nothing else is sent before; null when no time makes it pass.
create type send_verdict as (
  verdict text, guard text, value text, allowed text, until timestamptz, attempt integer);

-- Each guard answers null when the change may pass. An attempt counts as applied unless Meta provably refused or
-- deferred it.
create function may_hold(p_outcome text) returns boolean language sql immutable as $$
  select p_outcome is null or p_outcome in ('accepted', 'unknown')
$$;

-- Why nothing may be sent by these two control rows, that of every account and the account's own; null when it may.
create function halt_reason(p_controls controls[]) returns text language sql stable as $$
  select coalesce(
    min('halted: ' || coalesce(nullif(c.reason, ''), 'no reason given')) filter (where c.halted),
    'armed until ' || min(c.armed_until) filter (where c.armed_until <= adctl_now()),
    case when count(*) <> 2 then 'no control row' end)
  from unnest(p_controls) c
$$;

create function halt_verdict(p_account text) returns send_verdict language sql volatile as $$
  -- The lock makes a halt wait for authorisations under way, and them for it: none is written after its commit.
  with control as materialized (select c from controls c where c.account in ('*', p_account) for share),
    reason as (select halt_reason(array(select c.c from control c)) as words)
  select ('wait', 'halt', r.words, 'running', null, null)::send_verdict from reason r where r.words is not null
$$;

create function is_quiet(p_clock time, p_limits limits) returns boolean language sql immutable as $$
  select case when p_limits.quiet_from <= p_limits.quiet_until
    then p_clock >= p_limits.quiet_from and p_clock < p_limits.quiet_until
    else p_clock >= p_limits.quiet_from or p_clock < p_limits.quiet_until end
$$;

-- Until the first minute that is not quiet: in a night in which clocks are set, an hour may be missing or come twice.
create function quiet_verdict(p_account text, p_limits limits) returns send_verdict language sql stable as $$
  select ('wait', 'quiet hours', to_char(adctl_now() at time zone a.timezone, 'HH24:MI'),
    to_char(p_limits.quiet_from, 'HH24:MI') || '-' || to_char(p_limits.quiet_until, 'HH24:MI'),
    (select min(m.at) from generate_series(date_trunc('minute', adctl_now()), adctl_now() + interval '26 hours',
        interval '1 minute') m (at)
      where not is_quiet((m.at at time zone a.timezone)::time, p_limits)), null)::send_verdict
  from accounts a
  where a.account = p_account and is_quiet((adctl_now() at time zone a.timezone)::time, p_limits)
$$;

create function rate_verdict(p_guard text, p_limit integer, p_times timestamptz[]) returns send_verdict
language sql immutable as $$
  -- p_times is newest first: when the limit's last place is free, the next may pass.
  select ('wait', p_guard, cardinality(p_times), p_limit, p_times[p_limit] + interval '1 hour', null)::send_verdict
  where cardinality(p_times) >= p_limit
$$;

create function campaign_rate_verdict(p_change pending_ad_changes, p_limits limits) returns send_verdict
language sql stable as $$
  select rate_verdict('rate per campaign', p_limits.rate_per_campaign, array(
    select a.authorised_at from change_attempts a
    where a.account = p_change.account and a.campaign_id = p_change.campaign_id
      and a.authorised_at > adctl_now() - interval '1 hour'
    order by a.authorised_at desc))
$$;

create function ad_set_rate_verdict(p_change pending_ad_changes, p_limits limits) returns send_verdict
language sql stable as $$
  -- One change more is kept for taking a change back.
  select rate_verdict('rate per ad set',
    p_limits.rate_per_ad_set + case when p_change.compensates is null then 0 else 1 end, array(
      select a.authorised_at from change_attempts a
      where a.account = p_change.account and a.entity_kind = 'ad_set' and a.entity_id = p_change.entity_id
        and a.field = 'daily_budget' and a.authorised_at > adctl_now() - interval '1 hour'
      order by a.authorised_at desc))
  where p_change.entity_kind = 'ad_set' and p_change.field = 'daily_budget'
$$;

create function within_velocity(p_target bigint, p_value bigint, p_percent numeric) returns boolean
language sql immutable as $$
  select p_target::numeric * 100 between p_value * (100 - p_percent) and p_value * (100 + p_percent)
$$;

create function floor_of(p_change pending_ad_changes, p_limits limits) returns bigint language sql immutable as $$
  select greatest(p_limits.floor_budget, (p_limits.floors ->> p_change.entity_id)::bigint)
$$;

create function ceiling_of(p_change pending_ad_changes, p_limits limits) returns bigint language sql immutable as $$
  select least(p_limits.ceiling_budget, (p_limits.ceilings ->> p_change.entity_id)::bigint)
$$;

-- What can never pass by waiting: the attempts, floor, ceiling, the value in force now.
create function blocking_verdict(p_change pending_ad_changes, p_limits limits) returns send_verdict
language sql stable as $$
  select case
    when attempts_made(p_change.account, p_change.change_id) >= p_limits.max_attempts then
      ('block', 'attempts', attempts_made(p_change.account, p_change.change_id), p_limits.max_attempts, null,
       null)::send_verdict
    when p_change.target_budget < floor_of(p_change, p_limits) then
      ('block', 'floor', p_change.target_budget, floor_of(p_change, p_limits), null, null)::send_verdict
    when p_change.target_budget > ceiling_of(p_change, p_limits) then
      ('block', 'ceiling', p_change.target_budget, ceiling_of(p_change, p_limits), null, null)::send_verdict
    when not within_velocity(p_change.target_budget, p_change.expected_budget, p_limits.velocity_percent) then
      ('block', 'velocity', p_change.target_budget,
       p_change.expected_budget || ' ± ' || trim_scale(p_limits.velocity_percent) || ' %', null, null)::send_verdict
  end
$$;

-- Three values may have been in force until an attempt's answer (without one, until no request can be on its way): the
-- old one, its target, and the target of the attempt before, which is not the old one when its outcome was unknown.
create function velocity_verdict(p_change pending_ad_changes, p_limits limits) returns send_verdict
language sql stable as $$
  with before as (
    select b.authorised_at as at from change_attempts b
    where b.account = p_change.account and b.entity_kind = p_change.entity_kind and b.entity_id = p_change.entity_id
      and b.field = 'daily_budget' and may_hold(b.outcome)
      and b.authorised_at <= adctl_now() - p_limits.velocity_window - p_limits.settle
    order by b.authorised_at desc limit 1
  ), sent as (
    select a.* from change_attempts a
    where a.account = p_change.account and a.entity_kind = p_change.entity_kind and a.entity_id = p_change.entity_id
      and a.field = 'daily_budget' and may_hold(a.outcome)
      and a.authorised_at >= coalesce((select b.at from before b), '-infinity')
  ), held as (
    select least(s.expected_budget, s.target_budget, lag(s.target_budget) over w) as low,
      greatest(s.expected_budget, s.target_budget, lag(s.target_budget) over w) as high,
      case s.outcome when 'accepted' then s.finished_at else s.authorised_at + p_limits.settle end as until
    from sent s
    window w as (order by s.authorised_at, s.attempt)
  )
  select ('wait', 'velocity', p_change.target_budget,
    min(h.low) || '..' || max(h.high) || ' ± ' || trim_scale(p_limits.velocity_percent) || ' %',
    max(h.until) + p_limits.velocity_window, null)::send_verdict
  from held h
  where h.until > adctl_now() - p_limits.velocity_window
    and not (within_velocity(p_change.target_budget, h.low, p_limits.velocity_percent)
             and within_velocity(p_change.target_budget, h.high, p_limits.velocity_percent))
  having count(*) > 0
$$;

-- A change that is sent again raises once.
create function cap_verdict(p_change pending_ad_changes, p_limits limits) returns send_verdict language sql stable as $$
  with raised as (
    select max(a.target_budget - a.expected_budget) as amount, max(a.authorised_at) as at
    from change_attempts a
    where a.account = p_change.account and a.field = 'daily_budget' and a.target_budget > a.expected_budget
      and a.authorised_at > adctl_now() - interval '24 hours' and a.change_id <> p_change.change_id
      and may_hold(a.outcome)
    group by a.change_id
  ), total as (
    select p_change.target_budget - p_change.expected_budget + coalesce(sum(r.amount), 0) as amount from raised r
  ), leaving as (
    select r.at, sum(r.amount) over (order by r.at) as amount from raised r
  )
  select ('wait', 'cap', case when p_limits.cap_increase is null then 'not set' else t.amount::text end,
    coalesce(p_limits.cap_increase::text, 'a number'),
    (select min(l.at) + interval '24 hours' from leaving l where t.amount - l.amount <= p_limits.cap_increase),
    null)::send_verdict
  from total t
  where p_limits.cap_increase is null
    or p_change.target_budget > p_change.expected_budget and t.amount > p_limits.cap_increase
$$;

-- `p_others` are the ads beside this one that the caller has just read as active. What was sent to pause one of them, and
-- may not have shown in that reading yet, counts as done.
create function last_ad_verdict(p_change pending_ad_changes, p_limits limits, p_read_at timestamptz, p_others text[])
returns send_verdict language sql stable as $$
  with left_active as (
    select count(*) as ads from unnest(p_others) o (ad_id)
    where not exists (
      select from change_attempts a
      where a.account = p_change.account and a.entity_kind = 'ad' and a.entity_id = o.ad_id
        and a.target_status = 'PAUSED' and may_hold(a.outcome) and a.authorised_at > p_read_at - p_limits.settle)
  )
  select ('block', 'last active ad', 'none would be left in ad set ' || coalesce(p_change.ad_set_id, 'unknown'),
    'one active ad', null, null)::send_verdict
  from left_active l
  where p_change.target_status = 'PAUSED' and not p_limits.kill_last_ad and l.ads = 0
$$;

-- The only way to `executing`: every guard that concurrency could break is judged here, on the fresh value the caller
-- has just read, in the transaction that also writes the attempt. One account's authorisations are in one order, by the
-- lock on the audit head. Answers `send` with the attempt's number, `wait` with when it may pass, or `block`.
create function authorise_send(p_account text, p_change_id uuid, p_worker text, p_read_at timestamptz,
  p_observed_budget bigint, p_observed_status text, p_others text[] default '{}')
returns send_verdict language plpgsql as $$
declare
  v_change pending_ad_changes;
  v_limits limits;
  v_verdict send_verdict;
begin
  v_verdict := halt_verdict(p_account);
  if v_verdict.verdict is not null then
    return v_verdict;
  end if;
  -- The change before the head, as every move does, so that two moves never wait for each other.
  select c.* into strict v_change from pending_ad_changes c
    where c.account = p_account and c.change_id = p_change_id for update;
  perform 1 from audit_heads h where h.account = p_account for update;
  if v_change.state <> 'claimed' or v_change.claimed_by is distinct from p_worker
     or not holds_entity_lock(p_account, v_change.entity_kind, v_change.entity_id) then
    raise exception 'change % is not claimed by %', p_change_id, p_worker using errcode = 'check_violation';
  end if;
  if p_observed_budget is distinct from v_change.expected_budget
     or p_observed_status is distinct from v_change.expected_status then
    raise exception 'change %: what was read is not what was expected', p_change_id using errcode = 'check_violation';
  end if;
  select l.* into v_limits from limits l where l.account = p_account;
  if not found then
    return ('wait', 'limits', 'no row', 'a row', null, null)::send_verdict;
  end if;
  if (p_read_at between adctl_now() - v_limits.freshness and adctl_now()) is not true then
    return ('wait', 'freshness', p_read_at, v_limits.freshness, adctl_now(), null)::send_verdict;
  end if;
  -- What never passes first, else what passes last.
  select v.* into v_verdict from unnest(array[
      blocking_verdict(v_change, v_limits), campaign_rate_verdict(v_change, v_limits),
      ad_set_rate_verdict(v_change, v_limits), velocity_verdict(v_change, v_limits), cap_verdict(v_change, v_limits),
      quiet_verdict(p_account, v_limits), edited_verdict(v_change, v_limits),
      last_ad_verdict(v_change, v_limits, p_read_at, p_others)]) v
    where v.verdict is not null order by v.verdict = 'block' desc, v.until desc nulls first limit 1;
  if found then
    return v_verdict;
  end if;
  perform set_config('adctl.actor', 'authorise', true);
  -- On the disk before the first byte, also where the server is set not to wait for it.
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  insert into change_attempts (account, change_id, attempt, entity_kind, entity_id, campaign_id, ad_set_id, field,
    expected_budget, target_budget, target_status, authorised_at, authorised_by)
  values (p_account, p_change_id, v_change.attempts + 1, v_change.entity_kind, v_change.entity_id, v_change.campaign_id,
    v_change.ad_set_id, v_change.field, v_change.expected_budget, v_change.target_budget, v_change.target_status,
    adctl_now(), p_worker);
  -- What was read before says nothing of what this sending will have done.
  update pending_ad_changes c
    set state = 'executing', attempts = v_change.attempts + 1, observed_budget = null, observed_status = null
    where c.account = p_account and c.change_id = p_change_id;
  return ('send', null, null, null, null, v_change.attempts + 1)::send_verdict;
end
$$;
