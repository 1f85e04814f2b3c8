//! The one place that knows what the processor has beside the target's baseline.

#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

/// Runs `work` as compiled for AVX2 where the processor has it, else as it is: twice the lanes
/// of SSE2, which is all that may be taken for granted on x86-64. ARM has NEON anyway. The
/// answer is the same; only what is `#[inline(always)]` inside gains.
#[inline(always)]
pub fn widest<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        use fearless_simd::{Level, Simd, x86::Avx2};
        static AVX2: LazyLock<Option<Avx2>> = LazyLock::new(|| Level::new().as_avx2());
        if let Some(avx2) = *AVX2 {
            return avx2.vectorize(work);
        }
    }
    work()
}
