//! What the screen may say, and who is told when it cannot say it any more.
//!
//! ```text
//!                      ┌──────── a result ────────┐      trouble
//!   ┌──────────┐       │                          ▼   ┌───────────▶ ┌──────────┐
//!   │ NO MODEL │──▶ STARTING                     LIVE ┤             │ DEGRADED │
//!   └──────────┘       ▲                          │   └◀─────────── └──────────┘
//!    a network         │            newest result │       none           │
//!    that runs     the camera         too old     ▼     newest too old   │
//!                    is back  ┌───────────────▶ STALE ◀──────────────────┘
//!                      │      a result             │
//!                  NO SIGNAL ◀──── the camera is lost, from any of the above
//!
//!   FAILED ◀── a thread does not answer, from anywhere; the process ends
//! ```
//! [`State`] and its rule are in [`state`]. It is judged where pictures are shown, from what the
//! threads leave behind: the [`Signal`] of the camera, the [`pulse`] of each thread, the newest
//! result. Each transition is logged once, with its cause.
//!
//! A mask is live while the frame it was computed from is younger than the limit. The limit is
//! measured from the capture, not from the end of the inference: a network that takes longer
//! than the limit is never live. [`Segmented`](crate::segment::Segmented) enforces it.
//!
//! The [`watchdog`] is fed by what is shown: a new result, or words that say why there is none. No
//! timer feeds it.

mod backoff;
pub mod pulse;
mod signal;
pub mod state;
pub mod throttle;
pub mod watchdog;

pub use backoff::Backoff;
pub use signal::Signal;
pub use state::State;

use std::time::Duration;

/// How old a mask may be on the screen.
pub const STALE_AFTER: Duration = Duration::from_millis(500);
