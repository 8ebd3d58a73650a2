-- Meta's objects as last read, and what Meta reports for one ad on one day. Money is minor units by Meta's offsets.

create table campaigns (
  account text not null references accounts,
  campaign_id text not null,
  name text not null,
  status text not null,
  effective_status text not null,
  daily_budget bigint check (daily_budget > 0),
  lifetime_budget bigint check (lifetime_budget > 0),
  updated_at timestamptz,
  read_at timestamptz not null,
  primary key (account, campaign_id)
);

create table ad_sets (
  account text not null references accounts,
  ad_set_id text not null,
  campaign_id text not null,
  name text not null,
  status text not null,
  effective_status text not null,
  daily_budget bigint check (daily_budget > 0),
  lifetime_budget bigint check (lifetime_budget > 0),
  learning_stage text,
  updated_at timestamptz,
  read_at timestamptz not null,
  primary key (account, ad_set_id)
);

create table creatives (
  account text not null references accounts,
  creative_id text not null,
  -- The canonical fields of the creative, without performance: new numbers never change the hash.
  fields jsonb not null,
  content_hash bytea not null check (octet_length(content_hash) = 16),
  read_at timestamptz not null,
  primary key (account, creative_id)
);
create index creatives_by_content on creatives (account, content_hash);

-- What Meta tells of an image, in pixels; null for one that the account's library does not hold.
create table images (
  account text not null references accounts,
  image_hash text not null,
  width integer check (width > 0),
  height integer check (height > 0),
  read_at timestamptz not null,
  primary key (account, image_hash),
  check ((width is null) = (height is null))
);

-- How long a video runs; null for one that the account's library does not hold.
create table videos (
  account text not null references accounts,
  video_id text not null,
  seconds double precision check (seconds > 0),
  read_at timestamptz not null,
  primary key (account, video_id)
);

create table ads (
  account text not null references accounts,
  ad_id text not null,
  ad_set_id text not null,
  campaign_id text not null,
  creative_id text,
  name text not null,
  status text not null,
  effective_status text not null,
  created_at timestamptz,
  updated_at timestamptz,
  read_at timestamptz not null,
  primary key (account, ad_id)
);
create index ads_by_ad_set on ads (account, ad_set_id);
create index ads_by_creative on ads (account, creative_id);

create table insights (
  account text not null references accounts,
  ad_id text not null,
  day date not null,
  -- What a decision reads of the row, in one piece: packing it then would cost more than all else about it. The ad goes
  -- by the hash of its id.
  packed bytea not null generated always as (
    int8send(hashtextextended(ad_id, 0)) || date_send(day) || int8send(impressions) || int8send(clicks)
    || int8send(spend) || int8send(leads)) stored,
  -- A row of an export may cover several days; then it stands at the last one.
  first_day date not null check (first_day <= day),
  ad_set_id text not null,
  campaign_id text not null,
  impressions bigint not null check (impressions >= 0),
  clicks bigint not null check (clicks >= 0),
  link_clicks bigint not null check (link_clicks >= 0),
  spend bigint not null check (spend >= 0),
  leads bigint not null check (leads >= 0),
  purchases bigint not null check (purchases >= 0),
  purchase_value bigint not null check (purchase_value >= 0),
  windows text not null,
  -- People who saw the ad that day; null where the source does not say.
  reach bigint check (reach >= 0),
  -- When these very figures were first read; a restated row carries the time of its restatement.
  read_at timestamptz not null,
  primary key (account, ad_id, day)
) partition by range (day);
-- Insights come day by day, so the days of an account lie together: a few pages of index find those of a span.
create index insights_by_day on insights using brin (day) with (autosummarize = on);
