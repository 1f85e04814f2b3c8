//! Which sets this processor has.

use super::Kernels;

/// `SEGCAM_KERNELS` names no set of this processor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "SEGCAM_KERNELS is `{found}`, which this processor does not have; set it to one of \
     {possible}, or unset it for the fastest"
)]
pub struct UnknownKernels {
    pub found: String,
    pub possible: String,
}

impl Kernels {
    /// The fastest set of this processor, or the one that the environment's `SEGCAM_KERNELS`
    /// names.
    pub fn detect() -> Result<Self, UnknownKernels> {
        let available = Self::all_available();
        match std::env::var_os("SEGCAM_KERNELS") {
            None => Ok(available[available.len() - 1]),
            Some(name) => Self::named(&name.to_string_lossy()),
        }
    }

    /// The set of that name, if the processor has it.
    pub fn named(name: &str) -> Result<Self, UnknownKernels> {
        let available = Self::all_available();
        available.iter().copied().find(|kernels| kernels.name() == name).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|kernels| kernels.name()).collect();
            UnknownKernels { found: name.to_owned(), possible: names.join(", ") }
        })
    }

    /// The sets that this processor has, the fastest last.
    pub fn all_available() -> Vec<Self> {
        #[allow(unused_mut, reason = "other processors have no more")]
        let mut available = vec![Kernels::Reference];
        #[cfg(target_arch = "x86_64")]
        {
            if super::avx2::available() {
                available.push(Kernels::Avx2);
            }
            if super::avx512::available() {
                available.push(Kernels::Avx512);
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            available.push(Kernels::Neon);
            if super::neon_dotprod::available() {
                available.push(Kernels::Dotprod);
            }
        }
        available
    }

    /// As `SEGCAM_KERNELS` has it.
    pub fn name(self) -> &'static str {
        match self {
            Kernels::Reference => "reference",
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kernels::Neon => "neon",
            #[cfg(target_arch = "aarch64")]
            Kernels::Dotprod => "dotprod",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_answered_with_the_possible_ones() {
        let error = Kernels::named("sse9").unwrap_err().to_string();
        assert!(error.contains("`sse9`") && error.contains("reference"), "{error}");
        for kernels in Kernels::all_available() {
            assert_eq!(Kernels::named(kernels.name()), Ok(kernels));
        }
    }
}
