-- Policies in force and what they decided, with the evidence.

-- A model is a policy with parameters under a name. `version` and `parameter_hash` are those it last decided with.
create table model_registry (
  account text not null references accounts,
  name text not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  policy text not null,
  version text not null,
  parameter_hash text not null,
  parameters jsonb not null,
  role text not null check (role in ('champion', 'challenger', 'retired')),
  registered_at timestamptz not null,
  primary key (account, name)
);
create unique index model_registry_one_champion on model_registry (account) where role = 'champion';
-- Decisions are known by policy, version and parameters: two models in force must differ in them.
create unique index model_registry_one_of_a_kind on model_registry (account, policy, version, parameter_hash)
  where role <> 'retired';

-- With the unique index: whatever commits, an account that has models has exactly one champion.
create function refuse_no_champion() returns trigger language plpgsql as $$
declare
  v_account text := coalesce(new.account, old.account);
begin
  if exists (select from model_registry m where m.account = v_account)
     and not exists (select from model_registry m where m.account = v_account and m.role = 'champion') then
    raise exception 'account %: models without a champion', v_account using errcode = 'check_violation';
  end if;
  return null;
end
$$;
create constraint trigger model_registry_has_a_champion after insert or update or delete on model_registry
  deferrable initially deferred for each row execute function refuse_no_champion();

create table decisions (
  account text not null references accounts,
  day date not null,
  decision_id uuid not null,
  run_id uuid not null,
  policy text not null,
  version text not null,
  parameter_hash text not null,
  shadow boolean not null,
  entity_kind text not null check (entity_kind in ('campaign', 'ad_set', 'ad')),
  entity_id text not null,
  campaign_id text not null,
  ad_set_id text,
  field text not null check (field in ('daily_budget', 'status')),
  current_budget bigint,
  target_budget bigint,
  current_status text,
  target_status text,
  verdict text not null check (verdict in ('keep', 'scale', 'cut', 'kill', 'wait')),
  confidence double precision not null check (confidence between 0 and 1),
  reason text not null,
  evidence jsonb not null,
  decided_at timestamptz not null,
  primary key (account, day, decision_id),
  check ((field = 'daily_budget') = (current_budget is not null and target_budget is not null)),
  check ((field = 'status') = (current_status is not null and target_status is not null))
) partition by range (day);
create index decisions_by_entity on decisions (account, entity_id, day);

-- What the guards last said of each decision, so that `why` can say it later.
create table guard_answers (
  account text not null references accounts,
  day date not null,
  decision_id uuid not null,
  answer text not null check (answer in ('pass', 'wait', 'refuse')),
  guard text,
  reason text,
  until timestamptz,
  answered_at timestamptz not null,
  primary key (account, day, decision_id),
  check ((answer = 'pass') = (guard is null and reason is null))
);
