-- Rows of files that were not loaded, with the reason, until somebody retries or drops them.

create table rejected_rows (
  account text not null references accounts,
  reject_id bigint generated always as identity,
  kind text not null check (kind in ('ads', 'crm', 'clicks', 'conversions')),
  file_name text not null,
  -- SHA-256 of the file as given: the same file again adds nothing.
  file_digest bytea not null check (octet_length(file_digest) = 32),
  -- The record's place among the rows of the file, and the physical line that it starts on.
  row_number integer not null,
  line integer not null,
  column_name text not null,
  reason text not null,
  -- The cells by column without personal data, null when not even the columns are known.
  cells jsonb,
  -- Keyed hash of the row's e-mail address, so that the row can be forgotten, too.
  email bytea check (octet_length(email) = 32),
  -- How the rest of the file writes numbers and dates, for a retry of this row alone.
  context jsonb not null,
  run_id uuid,
  rejected_at timestamptz not null,
  settled_at timestamptz,
  settled_as text check (settled_as in ('loaded', 'dropped')),
  primary key (account, kind, file_digest, row_number),
  unique (reject_id),
  check ((settled_at is null) = (settled_as is null))
);
