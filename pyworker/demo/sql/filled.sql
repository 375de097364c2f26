-- Run as the demo's ordinary role once the data is there. How far a REFRESH is, is seen by the size
-- of its new file beside that of the old one: so there is an old one.
refresh materialized view demo.in_weather;
analyze demo.in_weather;
