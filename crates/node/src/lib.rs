//! Assembles the cores and shells into a running node and a development network.
