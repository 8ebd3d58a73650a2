-- HubSpot's objects and their history, the touches and the attribution that ties deals to ads.

create table crm_stages (
  account text not null references accounts,
  pipeline text not null,
  stage text not null,
  label text not null,
  position integer not null,
  outcome text not null check (outcome in ('open', 'won', 'lost')),
  read_at timestamptz not null,
  primary key (account, pipeline, stage)
);

-- Attribution properties only; nothing here names a person.
create table contacts (
  account text not null references accounts,
  contact_id text not null,
  created_at timestamptz not null,
  first_url_ad_id text,
  click_id text,
  primary key (account, contact_id)
);

create table deals (
  account text not null references accounts,
  deal_id text not null,
  pipeline text not null,
  stage text not null,
  amount bigint,
  currency text not null,
  created_at timestamptz,
  closed_at timestamptz,
  modified_at timestamptz not null,
  archived boolean not null default false,
  merged_into text,
  contact_id text,
  ad_id text,
  click_id text,
  source text not null check (source in ('hubspot', 'file')),
  read_at timestamptz not null,
  primary key (account, deal_id)
);
-- Deals come about in the order of their ids, so a few pages tell where the days asked for are not. A B-tree would make
-- a million new deals two thirds dearer.
create index deals_by_time on deals using brin (created_at, closed_at) with (autosummarize = on);

create table stage_moves (
  account text not null references accounts,
  deal_id text not null,
  at timestamptz not null,
  pipeline text not null,
  stage text not null,
  -- When it became known: a move may be read long after it was made.
  read_at timestamptz not null default adctl_now(),
  primary key (account, deal_id, at, pipeline, stage)
) partition by range (at);

create table click_tracking (
  account text not null references accounts,
  click_id text not null check (click_id <> ''),
  ad_id text not null,
  clicked_at timestamptz not null,
  primary key (account, click_id)
);

create table attributions (
  account text not null references accounts,
  deal_id text not null,
  -- Null when no layer found an ad; the share of those is a figure that is watched.
  ad_id text,
  method text not null check (method in ('url_param', 'fingerprint', 'probabilistic', 'none')),
  confidence numeric(3, 2) not null check (confidence between 0 and 1),
  evidence jsonb not null,
  converted_at timestamptz,
  attributed_at timestamptz not null,
  primary key (account, deal_id),
  check ((ad_id is null) = (method = 'none'))
);
create index attributions_by_ad on attributions (account, ad_id);

-- Absolute values per ad from a bulk file: what a CRM without deals per ad reports.
create table ad_performances (
  account text not null references accounts,
  ad_id text not null,
  value bigint not null,
  reported_at timestamptz not null,
  primary key (account, ad_id)
);

create table synthetic_revenue_config (
  account text not null references accounts,
  pipeline text not null,
  stage text not null,
  effective_from timestamptz not null,
  value bigint not null check (value >= 0),
  confidence numeric(4, 3) not null check (confidence between 0 and 1),
  outcome text not null check (outcome in ('open', 'won', 'lost')),
  origin text not null check (origin in ('configured', 'learned')),
  recorded_at timestamptz not null,
  primary key (account, pipeline, stage, effective_from)
);
