"""`python -m pyworker.schema`: write sql/install.sql and sql/upgrade.sql for the files that are
there now.
"""

from pyworker.schema.script import write_scripts

write_scripts()
