-- What became of models, who may never be queued, and rows as they were before they changed.

create table model_events (
  account text not null references accounts,
  number bigint generated always as identity,
  at timestamptz not null,
  name text not null,
  event text not null check (event in ('seeded', 'registered', 'renewed', 'promoted', 'rolled_back', 'retired')),
  -- Of a change of champions: who it was before.
  champion_before text,
  reason text not null,
  evidence jsonb not null default '{}',
  run_id uuid not null,
  primary key (account, number),
  check ((champion_before is not null) = (event in ('promoted', 'rolled_back')))
);
create trigger model_events_are_append_only before update or delete on model_events
  for each row execute function refuse_rewriting();
create trigger model_events_are_never_truncated before truncate on model_events
  for each statement execute function refuse_rewriting();

-- A challenger's decision reaches no queue, whoever asks.
create function refuse_shadow_decision() returns trigger language plpgsql as $$
begin
  if exists (
      select from decisions d
      where d.account = new.account and d.day = new.decision_day and d.decision_id = new.decision_id and d.shadow) then
    raise exception 'decision % was made in shadow', new.decision_id using errcode = 'check_violation';
  end if;
  return new;
end
$$;
create trigger changes_are_never_of_shadow_decisions before insert on pending_ad_changes
  for each row when (new.decision_id is not null) execute function refuse_shadow_decision();
