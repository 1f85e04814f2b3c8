//! The inner loops, one file an instruction set beside [`reference`], which defines what all of
//! them answer, bit for bit.
//!
//! A dense convolution reaches them row by row. Its driver copies the input rows that one
//! output row needs into a *panel*, padding included, as the set's [`Element`]s, channels padded
//! to the set's group. What one output pixel sees of the panel are a few *runs* of contiguous
//! elements (one a kernel row; one a tap when dilated), so every dense convolution, whatever its
//! kernel, stride or dilation, is the same product: panel runs times packed columns.

mod reference;

use super::requantization::Requantize;

/// The sets of inner loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    Reference,
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
    /// Neighbouring elements of a run that one lane multiplies at once; runs are multiples of it.
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

impl Kernels {
    pub fn format(self) -> Format {
        match self {
            Kernels::Reference => reference::FORMAT,
        }
    }

    /// A row of a dense convolution.
    pub fn dense(self, row: &Row, columns: &Columns, store: &mut Store) {
        match self {
            Kernels::Reference => reference::dense(row, columns, store),
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
        }
    }
}
