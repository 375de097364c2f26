-- Keeps the names of the server's time zones, for schedules.

do $$
begin
  perform jobs_internal.keep_zones();
end
$$;
