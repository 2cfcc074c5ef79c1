//! segment_arrives
