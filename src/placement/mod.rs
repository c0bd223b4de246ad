//! Which standby copies go where, at what cost, and how far from the bound? Pure; it knows no cluster, only an instance of the problem.
