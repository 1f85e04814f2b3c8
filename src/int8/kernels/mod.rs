//! The inner loops, one file an instruction set beside [`reference`], which defines what all of
//! them answer, bit for bit.
//!
//! A dense convolution reaches them row by row. Its driver copies the input rows that one
//! output row needs into a *panel*, padding included, as the set's [`Element`]s, pixel by pixel.
//! What one output pixel sees of the panel are a few *runs* of contiguous elements (one a kernel
//! row; one a tap when dilated), filled to the set's group with whatever lies behind them, which
//! meets weights of zero. So every dense convolution, whatever its kernel, stride or dilation, is
//! the same product: panel runs times packed columns.
//!
//! Winograd's algorithm reaches them as two transforms around [`Products`]; a set that has none
//! of its own never gets it.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "aarch64")]
mod arm_depthwise;
#[cfg(target_arch = "aarch64")]
mod arm_products;
#[cfg(target_arch = "aarch64")]
mod arm_table;
#[cfg(target_arch = "aarch64")]
mod arm_winograd;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_depthwise;
#[cfg(target_arch = "x86_64")]
mod avx2_winograd;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_depthwise;
#[cfg(target_arch = "x86_64")]
mod avx512_depthwise3;
#[cfg(target_arch = "x86_64")]
mod avx512_table;
#[cfg(target_arch = "x86_64")]
mod avx512_winograd;
mod bounds;
mod detection;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;
mod reference;
mod scratch;
#[cfg(target_arch = "x86_64")]
mod store;
#[cfg(target_arch = "x86_64")]
mod tile;
mod winograd;

#[cfg(target_arch = "aarch64")]
pub use arm_table::look_up;
#[cfg(target_arch = "x86_64")]
pub use avx512_table::look_up;
pub use detection::UnknownKernels;
pub use scratch::{SLACK, split, unsigned};
pub use winograd::{InputTiles, OutputTiles, TILES};

use super::requantization::Requantize;

/// The sets of inner loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    Reference,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "aarch64")]
    Dotprod,
}

/// What an element of a panel is, for an activation x (i8) with its zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// i16: x - zero point.
    Difference,
    /// u8: x + 128.
    Unsigned,
    /// i8: x.
    Signed,
}

/// How a set wants panels and weights.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    pub element: Element,
    /// Neighbouring elements of a run that one lane multiplies at once; runs are multiples of it,
    /// and start anywhere.
    pub group: usize,
    /// Columns (output channels) that are computed side by side.
    pub block: usize,
}

/// Weights of a dense convolution, packed as `[block of columns][depth / group][column][group]`
/// with zeroes behind the last column and behind each run.
#[derive(Clone, Debug)]
pub enum Weights {
    /// For [`Element::Unsigned`] and [`Element::Signed`].
    Bytes(Vec<i8>),
    /// For [`Element::Difference`].
    Words(Vec<i16>),
}

/// The columns of a dense convolution as one set wants them.
#[derive(Clone, Debug)]
pub struct Columns {
    pub weights: Weights,
    /// How many there are (without those that fill the last block).
    pub count: usize,
    /// Elements of all runs together.
    pub depth: usize,
    /// Where each sum starts, one a column, blocks filled with zeroes: the bias, and with byte
    /// elements what their offset from x - zero point adds.
    pub start: Vec<i32>,
    /// The weights of a column may span nine bits (u8 with a zero point). Byte weights then hold
    /// `weight - shift`, and each sum gets `shift * (sum of x - zero point over the window)`.
    pub shift: Option<Vec<i32>>,
    /// No two byte weights half a group apart are both -128: the sum of their products with any
    /// two bytes fits 16 bits.
    pub pairs_fit: bool,
}

/// One row of output pixels.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The set's elements, as bytes in native order, at no particular alignment.
    pub panel: &'a [u8],
    /// From one output pixel to the next, in bytes.
    pub pixel_stride: usize,
    /// Where each run of the first pixel starts, in bytes.
    pub runs: &'a [usize],
    /// Elements of one run, a multiple of the group.
    pub run: usize,
    pub pixels: usize,
    /// The sum of x - zero point over each pixel's window; there if the columns have a shift.
    pub window_sums: Option<&'a [i32]>,
}

/// `columns` columns from `column` on go to `offset` in a pixel's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub column: usize,
    pub columns: usize,
    pub offset: usize,
}

/// Where the sums go.
#[derive(Debug)]
pub enum Store<'a> {
    /// Requantized: column j of pixel p, in segment s, to
    /// `out[p * pixel_pitch + s.offset + j - s.column]`.
    Bytes {
        requantize: &'a Requantize,
        out: &'a mut [i8],
        pixel_pitch: usize,
        segments: &'a [Segment],
    },
    /// As they are: column j of pixel p to `out[p * pixel_pitch + j]`.
    Sums { out: &'a mut [i32], pixel_pitch: usize },
}

/// One row of a depthwise convolution: each channel has its own kernel.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseRow<'a> {
    /// x - zero point, padding (zeroes) included.
    pub panel: &'a [i16],
    /// From one output pixel to the next, in elements.
    pub pixel_stride: usize,
    /// Where each tap of the first pixel starts, in elements.
    pub taps: &'a [usize],
    pub pixels: usize,
    pub channels: usize,
    /// `[tap][channel]`: weight - zero point.
    pub weights: &'a [i16],
    /// One a channel.
    pub bias: &'a [i32],
}

/// How a set wants the small matrix products of Winograd's algorithm.
#[derive(Clone, Copy, Debug)]
pub struct ProductsFormat {
    /// Neighbouring elements that one lane multiplies at once.
    pub group: usize,
    /// Columns worth computing side by side, a multiple of 8.
    pub block: usize,
    /// Winograd's algorithm pays from so many tiles on: transformed weights are eight times as
    /// large, and should be read for many.
    pub least_tiles: usize,
    /// And from so many products a pixel on (input times output channels), which depends on how
    /// fast the set's direct way is.
    pub least_products: usize,
    /// And from so many input channels on.
    pub least_channels: usize,
    /// And only as long as a layer's transformed weights take no more bytes.
    pub most_bytes: usize,
}

/// Small matrix products, `tiles` rows of `depth` elements times `columns` columns at each of
/// `positions`.
#[derive(Clone, Copy, Debug)]
pub struct Products<'a> {
    pub positions: usize,
    /// `[position][tile][depth]`.
    pub panel: &'a [i16],
    pub tiles: usize,
    /// A multiple of the group.
    pub depth: usize,
    /// `[position][depth / group][column][group]`.
    pub weights: &'a [i16],
    /// A multiple of 8, at most the block.
    pub columns: usize,
}

impl Kernels {
    pub fn format(self) -> Format {
        match self {
            Kernels::Reference => reference::FORMAT,
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => avx2::FORMAT,
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => avx512::FORMAT,
            #[cfg(target_arch = "aarch64")]
            Kernels::Neon => neon::FORMAT,
            #[cfg(target_arch = "aarch64")]
            Kernels::Dotprod => neon_dotprod::FORMAT,
        }
    }

    pub fn products_format(self) -> ProductsFormat {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => avx2::PRODUCTS_FORMAT,
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => avx512::PRODUCTS_FORMAT,
            #[cfg(target_arch = "aarch64")]
            Kernels::Neon => arm_products::FORMAT,
            // SDOT adds four times as many products as SMLAL: the direct way always wins.
            #[cfg(target_arch = "aarch64")]
            Kernels::Dotprod => ProductsFormat { least_tiles: usize::MAX, ..arm_products::FORMAT },
            Kernels::Reference => reference::PRODUCTS_FORMAT,
        }
    }

    /// A row of a dense convolution.
    pub fn dense(self, row: &Row, columns: &Columns, store: &mut Store) {
        match self {
            Kernels::Reference => reference::dense(row, columns, store),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => avx2::dense(row, columns, store),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => avx512::dense(row, columns, store),
            #[cfg(target_arch = "aarch64")]
            Kernels::Neon => neon::dense(row, columns, store),
            #[cfg(target_arch = "aarch64")]
            Kernels::Dotprod => neon_dotprod::dense(row, columns, store),
        }
    }

    /// A row of a depthwise convolution; channel c of pixel p goes to
    /// `out[p * pixel_pitch + c]`.
    pub fn depthwise(
        self,
        row: &DepthwiseRow,
        requantize: &Requantize,
        out: &mut [i8],
        pixel_pitch: usize,
    ) {
        match self {
            Kernels::Reference => reference::depthwise(row, requantize, out, pixel_pitch),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => avx2_depthwise::depthwise(row, requantize, out, pixel_pitch),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => avx512_depthwise::depthwise(row, requantize, out, pixel_pitch),
            #[cfg(target_arch = "aarch64")]
            Kernels::Neon | Kernels::Dotprod => {
                arm_depthwise::depthwise(row, requantize, out, pixel_pitch)
            }
        }
    }

    /// Small matrix products with wrapping sums, to `[position][tile][column]`.
    pub fn products(self, products: &Products, out: &mut [i32]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => avx2::products(products, out),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => avx512::products(products, out),
            #[cfg(target_arch = "aarch64")]
            Kernels::Neon | Kernels::Dotprod => arm_products::products(products, out),
            Kernels::Reference => reference::products(products, out),
        }
    }

    /// The transform of Winograd's input tiles, to
    /// `out[position * position_pitch + tile * channels + channel]` for 6×6 positions.
    pub fn winograd_input(self, tiles: &InputTiles, out: &mut [i16], position_pitch: usize) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => avx2_winograd::input(tiles, out, position_pitch),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => avx512_winograd::input(tiles, out, position_pitch),
            #[cfg(target_arch = "aarch64")]
            Kernels::Neon | Kernels::Dotprod => arm_winograd::input(tiles, out, position_pitch),
            _ => winograd::plain_input(tiles, out, position_pitch),
        }
    }

    /// The transform of their products' sums, requantized: pixel (y, x) of all tiles together
    /// goes to `out[y * row_pitch + x * pixel_pitch + column]`.
    pub fn winograd_output(self, tiles: &OutputTiles, requantize: &Requantize, out: &mut [i8]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => avx2_winograd::output(tiles, requantize, out),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => avx512_winograd::output(tiles, requantize, out),
            #[cfg(target_arch = "aarch64")]
            Kernels::Neon | Kernels::Dotprod => arm_winograd::output(tiles, requantize, out),
            _ => winograd::plain_output(tiles, requantize, out),
        }
    }

    /// Runs `work` compiled for the set's instructions; only what is `#[inline(always)]` inside
    /// gains.
    #[inline(always)]
    pub fn vectorize<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => avx2::vectorize(work),
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => avx512::vectorize(work),
            _ => work(),
        }
    }
}
