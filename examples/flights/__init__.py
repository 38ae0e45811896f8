"""A year of flights from New York: partitions, joins, statistics, a picture and a report."""
