//! Linux as a judge: the same segments and calls are played to a socket of the kernel and to tcpx
//! on the wire, and everything that shows from outside is compared.
//!
//! | module | its question |
//! |---|---|
//! | [`case`] | what is played: segments and calls, as text too |
//! | [`generate`] | which cases are worth playing: drawn from a seed |
//! | [`peer`] | what the other end of one connection knows, sends and sees |
//! | [`kernel`], [`tcpx`] | how a call is made on either host |
//! | [`side`] | one host behind its own device, and many cases played to it at a time |
//! | [`info`] | what a host says of its recovery |
//! | [`compare`] | where two runs of a case differ |
//! | [`known`] | which differences are known, and why they stay |
//! | [`shrink`] | the shortest case that still differs |
//! | [`judge`] | all of it: draw, play, compare, repeat, shrink, report |

pub mod case;
pub mod compare;
pub mod generate;
pub mod info;
pub mod judge;
pub mod kernel;
pub mod known;
pub mod peer;
pub mod shrink;
pub mod side;
pub mod tcpx;
