-- Settings, the switch that pauses everything, and the rules of retries.

create table jobs_internal.setting (
  name text primary key,
  value text not null,
  unit text not null,
  description text not null
);
comment on table jobs_internal.setting
  is 'Settings of this installation; jobs.configure changes them';
comment on column jobs_internal.setting.name is 'Name';
comment on column jobs_internal.setting.value is 'Value, as text';
comment on column jobs_internal.setting.unit is 'Unit of the value';
comment on column jobs_internal.setting.description is 'What it does';
insert into jobs_internal.setting (name, value, unit, description) values
  ('chunk_jobs', '100', 'jobs', 'short jobs that one transaction holds at most; no more than 40 of '
    'them with a subtransaction each'),
  ('chunk_ms', '50', 'ms', 'a chunk is committed after this time'),
  ('short_ms', '10', 'ms', 'a function whose calls take less on average may share a transaction'),
  ('claim_jobs', '1000', 'jobs', 'messages that one claim leases at most'),
  ('claim_ms', '1000', 'ms', 'known work that one claim leases at most'),
  ('lease_seconds', '30', 's',
      'a claimed message that no session works on is visible again after this time'),
  ('session_seconds', '60', 's',
      'a worker session ends after this time, so that the server counts what it did'),
  ('session_jobs', '50000', 'jobs', 'a worker session ends after so many jobs'),
  ('sessions_per_owner', '16', 'sessions',
      'worker sessions that the supervisor starts for one owner at most'),
  ('worker_slot_reserve', '4', 'slots', 'jobs.health and pyworker check warn when fewer background '
    'worker slots of the server are left'),
  ('timeout_margin_ms', '2000', 'ms',
      'the server itself ends a job so much later than its timeout, when no supervisor does'),
  ('result_rows', '1000', 'rows', 'a set-returning function may return so many rows'),
  ('result_bytes', '1000000', 'bytes', 'a result may be so large'),
  ('log_lines', '1000', 'lines', 'jobs.log keeps so many lines of one attempt'),
  ('measure_cost', 'on', 'on/off', 'what attempts cost (WAL, buffers, temporary files) is '
    'measured: of jobs that run alone each, of others a sample'),
  ('child_queue_bytes', '1048576', 'bytes',
      'messages that a child session may send before its watcher lets go of it'),
  ('deadlock_risk_cancels', 'own', 'own/any', 'what on_deadlock_risk cancel_waiter '
    'may cancel: sessions of roles of the owner, or of all but superusers'),
  ('statement_snapshots', 'on', 'on/off', 'where pg_stat_statements is installed, the costliest '
    'statements are noted every five minutes, for jobs.compare');

create table jobs_internal.switch (
  id boolean primary key default true check (id),
  paused boolean not null default false,
  changed_by text,
  changed_at timestamptz
);
comment on table jobs_internal.switch
  is 'One row: the switch that stops everything (jobs.pause() without a name)';
comment on column jobs_internal.switch.id is 'Always true: there is one row';
comment on column jobs_internal.switch.paused is 'Everything is paused';
comment on column jobs_internal.switch.changed_by is 'Login that changed it last';
comment on column jobs_internal.switch.changed_at is 'When it was changed last';
insert into jobs_internal.switch default values;

create table jobs_internal.retry_rule (
  pattern text primary key check (pattern ~ '^([0-9A-Z]{5}|[0-9A-Z]{2}|\*)$'),
  retry boolean not null,
  why text not null
);
comment on table jobs_internal.retry_rule is 'Which errors are worth another attempt: the rule '
  'with the longest pattern that fits the SQLSTATE decides';
comment on column jobs_internal.retry_rule.pattern
  is 'SQLSTATE (5 characters), class (2), or * for all others';
comment on column jobs_internal.retry_rule.retry is 'Another attempt is worth it';
comment on column jobs_internal.retry_rule.why is 'Reason';
insert into jobs_internal.retry_rule (pattern, retry, why) values
  ('*',
      true, 'what the function raises itself (P0001) and whatever is not listed may pass the next '
        'time'),
  ('08', true, 'connection exceptions pass'),
  ('0A', false, 'a feature that is not supported stays so'),
  ('22', false, 'data exception: the same data fails again'),
  ('23', false, 'integrity constraint violation: the same rows fail again'),
  ('23P01', true, 'exclusion conflict with work that may be gone the next time'),
  ('25', false, 'invalid transaction state: the statement cannot run where it ran'),
  ('26', false, 'invalid statement name'),
  ('28', false, 'invalid authorization'),
  ('2D', false, 'invalid transaction termination'),
  ('3D', false, 'no such database'),
  ('3F', false, 'no such schema'),
  ('40', true, 'serialization failure or deadlock: made for a retry'),
  ('42', false, 'syntax error, undefined or forbidden: the same statement fails again'),
  ('44', false, 'WITH CHECK OPTION violation'),
  ('53', true, 'insufficient resources pass'),
  ('54', false, 'a program limit stays'),
  ('55', false, 'an object that is not in the state that the statement needs stays so'),
  ('55006', true, 'object in use: passes'),
  ('55P03', true, 'lock not available: passes'),
  ('57', true, 'operator intervention or timeout: passes'),
  ('58', true, 'system error outside the database: passes'),
  ('PW', false, 'refused by pyworker: the same job is refused again'),
  ('PWT01', true, 'timed out: the next attempt may be faster'),
  ('PWL01', true, 'the session was lost: the next may live'),
  ('PWL02', false, 'the server crashes whenever it runs'),
  ('XX', false, 'internal error: a person should look first');
