-- Rows as they were before they changed, so that a decision of an earlier day can be made again on what it knew.

create table earlier_rows (
  account text not null,
  of_table text not null,
  -- From this moment on the row was another one.
  known_until timestamptz not null,
  row_before jsonb not null
);
create index earlier_rows_by_table on earlier_rows (account, of_table, known_until);

-- The arguments name columns that are not kept: what leads to a person is not remembered twice.
create function keep_earlier_rows() returns trigger language plpgsql as $$
begin
  insert into earlier_rows (account, of_table, known_until, row_before)
    select g.account, tg_table_name, adctl_now(), case tg_nargs when 0 then to_jsonb(g) else to_jsonb(g) - tg_argv end
    from gone g;
  return null;
end
$$;
create trigger keeps_earlier_rows after update on campaigns referencing old table as gone
  for each statement execute function keep_earlier_rows();
create trigger keeps_earlier_rows after update on ad_sets referencing old table as gone
  for each statement execute function keep_earlier_rows();
create trigger keeps_earlier_rows after update on ads referencing old table as gone
  for each statement execute function keep_earlier_rows();
create trigger keeps_earlier_rows after update on creatives referencing old table as gone
  for each statement execute function keep_earlier_rows();
create trigger keeps_earlier_rows after update on crm_stages referencing old table as gone
  for each statement execute function keep_earlier_rows();
create trigger keeps_earlier_rows after update on deals referencing old table as gone
  for each statement execute function keep_earlier_rows('contact_id', 'click_id');
create trigger keeps_earlier_rows after update on attributions referencing old table as gone
  for each statement execute function keep_earlier_rows('evidence');
create trigger keeps_earlier_rows after update on ad_performances referencing old table as gone
  for each statement execute function keep_earlier_rows();
create trigger keeps_earlier_rows after update on synthetic_revenue_config referencing old table as gone
  for each statement execute function keep_earlier_rows();
-- What was withdrawn before it held.
create trigger keeps_withdrawn_rows after delete on synthetic_revenue_config referencing old table as gone
  for each statement execute function keep_earlier_rows();
create trigger keeps_earlier_rows after update on neighbour_evaluations referencing old table as gone
  for each statement execute function keep_earlier_rows();
