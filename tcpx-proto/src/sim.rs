//! Hosts and links on one virtual clock.
