-- Accounts, the clock every decision uses, months as partitions, and the ledger of runs.

-- Filled only in the databases of `adctl demo` and of tests: adctl then refuses to talk to a real vendor.
create table simulated_clock (
  singleton boolean primary key default true check (singleton),
  at timestamptz not null
);

create function adctl_now() returns timestamptz language sql stable as $$
  select coalesce((select c.at from simulated_clock c), clock_timestamp())
$$;

-- Partitions are plain tables of one month; attaching them does not block readers or writers of the others.
create function ensure_months(p_table text, p_from date, p_until date) returns integer
language plpgsql set timezone = 'UTC' as $$
declare
  v_month date := date_trunc('month', p_from)::date;
  v_name text;
  v_made integer := 0;
begin
  if p_until < p_from or p_until - p_from > 36525 then
    raise exception 'ensure_months(%): % to % is no span of at most a hundred years', p_table, p_from, p_until;
  end if;
  while v_month <= p_until loop
    v_name := p_table || to_char(v_month, '_YYYY_MM');
    if to_regclass(v_name) is null then
      perform pg_advisory_xact_lock(hashtextextended('adctl.months.' || p_table, 0));
      -- Asked anew of the catalog: to_regclass would answer from a cache that knows nothing of whom we waited for.
      if not exists (
          select from pg_class c
          where c.relname = v_name
            and c.relnamespace = (select p.relnamespace from pg_class p where p.oid = p_table::regclass)) then
        execute format('create table %I (like %I including defaults including constraints including generated)', v_name, p_table);
        execute format('alter table %I attach partition %I for values from (%L) to (%L)', p_table, v_name,
                       to_char(v_month, 'YYYY-MM-DD'), to_char(v_month + interval '1 month', 'YYYY-MM-DD'));
        v_made := v_made + 1;
      end if;
    end if;
    v_month := (v_month + interval '1 month')::date;
  end loop;
  return v_made;
end
$$;

create table accounts (
  account text primary key check (account ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  meta_ad_account text not null,
  hubspot_portal text,
  -- Pinned at first use: figures in two currencies must never meet in one account.
  currency text not null check (currency ~ '^[A-Z]{3}$'),
  timezone text not null,
  name text,
  min_daily_budget bigint not null default 0 check (min_daily_budget >= 0),
  created_at timestamptz not null default clock_timestamp()
);

-- Limits are an account's: two over one ad account would each use up the whole of them.
create unique index one_account_an_ad_account on accounts (meta_ad_account) where meta_ad_account <> '';

create table job_runs (
  account text not null references accounts,
  run_id uuid not null,
  job text not null,
  started_at timestamptz not null,
  ended_at timestamptz,
  exit_code integer,
  host text not null,
  pid integer not null,
  summary text,
  facts jsonb not null default '{}',
  primary key (account, started_at, run_id)
) partition by range (started_at);
create index job_runs_last on job_runs (account, job, started_at desc);
create index job_runs_open on job_runs (account, job) where ended_at is null;

-- How far each source has been read; moves only forward, in the transaction that stored what was read.
create table sync_watermarks (
  account text not null references accounts,
  source text not null,
  until timestamptz not null,
  updated_at timestamptz not null,
  primary key (account, source)
);
