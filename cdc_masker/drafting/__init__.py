"""From what the source says of its tables to a policy revision that people review, and to what the policy in force lacks.

tables      what a source has, as values         names, values   what a column is about: the port `Classifier`
links       which columns hold the same values   joins           how those are masked so that they join
standing    what is decided already              proposals       a rule for each column that isn't
revision    the proposals as an Alembic file     findings        what is undecided, gone, of another type, or no longer unique
"""
