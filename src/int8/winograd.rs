//! Winograd's F(4×4, 3×3): a quarter of the products, and exact.
//!
//! A few tiles at a time are transformed, multiplied and transformed back, a block of columns
//! after the other, so that all of it stays in the caches and no transformed layer is ever
//! written out.

use std::ops::Range;

use super::convolution::{Geometry, Out, Placement};
use super::kernels::{InputTiles, Kernels, OutputTiles, Products, SLACK, TILES, split};
use super::packing::Span;
use super::view::Picture;

/// Tiles that are worked on at once, at most: a multiple of what the kernels hold in registers,
/// and with their sums within the second cache.
const MOST_TILES: usize = 24;
/// Input pixels in one direction of a run of tiles.
const PIXELS: usize = 4 * TILES + 2;

#[derive(Clone, Debug)]
pub(super) struct Winograd {
    kernels: Kernels,
    geometry: Geometry,
    zero_point: i32,
    /// Input channels, filled up for the transforms.
    channels: usize,
    columns: usize,
    /// Columns of one block of products.
    block: usize,
    /// `[block][6 * 6][channels / group][column][group]`.
    weights: Vec<i16>,
    /// 576 times, as the sums.
    bias: Vec<i32>,
}

impl Winograd {
    /// Whether this is a convolution of 3×3 with stride 1 whose weights prove it exact.
    pub fn applies(
        geometry: &Geometry,
        weights: &[i16],
        bias: &[i32],
        input_zero_point: i32,
        placement: &Placement,
    ) -> bool {
        let Geometry { kernel, stride, dilation, in_channels, .. } = *geometry;
        let farthest = i64::from((127 - input_zero_point).max(input_zero_point + 128));
        (kernel, stride, dilation) == ([3, 3], [1, 1], [1, 1])
            && placement.segments.len() == 1
            && placement.segments[0].column == 0
            && farthest <= 255
            && weights.iter().all(|weight| (-128..=128).contains(weight))
            && weights.chunks_exact(9 * in_channels).zip(bias).all(|(column, bias)| {
                let sum: i64 = column.iter().map(|weight| i64::from(weight.unsigned_abs())).sum();
                sum * farthest + i64::from(*bias).abs() < 1 << 25
            })
    }

    /// Whether it is faster than the direct way, as measured, and worth its weights' memory.
    pub fn pays(kernels: Kernels, geometry: &Geometry, columns: usize) -> bool {
        let format = kernels.products_format();
        let tiles = geometry.out_height.div_ceil(4) * geometry.out_width.div_ceil(4);
        let products = geometry.in_channels * columns;
        tiles >= format.least_tiles
            && products >= format.least_products
            && geometry.in_channels >= format.least_channels
            && 2 * 36 * products <= format.most_bytes
            && columns >= 8
    }

    pub fn new(
        kernels: Kernels,
        geometry: Geometry,
        weights: &[i16],
        bias: &[i32],
        zero_point: i32,
    ) -> Self {
        let format = kernels.products_format();
        let channels = geometry.in_channels.next_multiple_of(8);
        let columns = bias.len();
        let filled = columns.next_multiple_of(8);
        let block = format.block;
        let mut packed = vec![0; 36 * channels * filled];
        for (column, weights) in weights.chunks_exact(9 * geometry.in_channels).enumerate() {
            let first = column / block * block;
            let width = block.min(filled - first);
            let packed = &mut packed[first * 36 * channels..][..width * 36 * channels];
            for c in 0..geometry.in_channels {
                let kernel = std::array::from_fn(|tap| weights[tap * geometry.in_channels + c]);
                for (position, weight) in transform(kernel).into_iter().enumerate() {
                    let group = (position * channels + c) / format.group;
                    let at = (group * width + column - first) * format.group;
                    packed[at + c % format.group] = weight;
                }
            }
        }
        let mut bias: Vec<i32> = bias.iter().map(|bias| bias.wrapping_mul(576)).collect();
        bias.resize(filled, 0);
        Winograd { kernels, geometry, zero_point, channels, columns, block, weights: packed, bias }
    }

    pub fn weight_bytes(&self) -> usize {
        self.weights.len() * 2 + self.bias.len() * 4
    }

    fn tiles_across(&self) -> usize {
        self.geometry.out_width.div_ceil(4)
    }

    /// Tiles that are worked on at once.
    fn tiles(&self) -> usize {
        let all = self.tiles_across() * self.geometry.out_height.div_ceil(4);
        all.min(MOST_TILES)
    }

    /// i16 of the transformed input, i32 of sums, i8 of padded input.
    fn buffers(&self) -> [usize; 3] {
        let tiles = self.tiles();
        let block = self.block.min(self.bias.len());
        [36 * tiles * self.channels, 36 * tiles * block, 6 * PIXELS * self.channels]
    }

    pub fn scratch_bytes(&self) -> usize {
        let [words, longs, bytes] = self.buffers();
        2 * words + 4 * longs + bytes + 3 * SLACK
    }

    pub fn run(&self, input: &Picture, rows: Range<usize>, mut out: Out, scratch: &mut [u8]) {
        let Geometry { in_height, in_width, in_channels, out_height, out_width, .. } =
            self.geometry;
        assert_eq!(
            [input.height, input.width, input.channels],
            [in_height, in_width, in_channels],
            "the input has another shape than the convolution was made for"
        );
        assert!(rows.start.is_multiple_of(4) && rows.end <= out_height);
        let Out::Bytes { out, requantize, placement } = &mut out else {
            panic!("Winograd's algorithm is made for bytes only")
        };
        if rows.is_empty() || out_width == 0 {
            return;
        }
        let [words, longs, bytes] = self.buffers();
        let (transformed, rest) = split(scratch, words);
        let (sums, rest) = split(rest, longs);
        let (patch, _) = split(rest, bytes);
        let across = self.tiles_across();
        let all = rows.len().div_ceil(4) * across;
        // Blocks of about the same size.
        let most = all.div_ceil(all.div_ceil(self.tiles()));
        for first in (0..all).step_by(most) {
            let count = most.min(all - first);
            let pitch = count * self.channels;
            for piece in pieces(first, count, across, TILES) {
                let transformed = &mut transformed[(piece.tile - first) * self.channels..];
                let y = rows.start + 4 * piece.y;
                let tiles = self.input_tiles(input, y, &piece, patch);
                self.kernels.winograd_input(&tiles, transformed, pitch);
            }
            for (index, bias) in self.bias.chunks(self.block).enumerate() {
                let column = index * self.block;
                let columns = bias.len();
                let products = Products {
                    positions: 36,
                    panel: transformed,
                    tiles: count,
                    depth: self.channels,
                    weights: &self.weights[column * 36 * self.channels..],
                    columns,
                };
                self.kernels.products(&products, sums);
                for piece in pieces(first, count, across, across) {
                    let y = 4 * piece.y;
                    let tiles = OutputTiles {
                        sums: &sums[(piece.tile - first) * columns..],
                        position_pitch: count * columns,
                        tiles: piece.tiles,
                        columns,
                        valid: columns.min(self.columns - column),
                        bias,
                        column,
                        rows: (rows.len() - y).min(4),
                        pixels: (out_width - 4 * piece.x).min(4 * piece.tiles),
                        row_pitch: placement.row_pitch,
                        pixel_pitch: placement.pixel_pitch,
                    };
                    let at = y * placement.row_pitch
                        + 4 * piece.x * placement.pixel_pitch
                        + placement.segments[0].offset
                        + column;
                    self.kernels.winograd_output(&tiles, requantize, &mut out[at..]);
                }
            }
        }
    }

    /// What the tiles of output row `y` see: the input itself, or where it has no more pixels, a
    /// copy with padding.
    fn input_tiles<'a>(
        &self,
        input: &Picture<'a>,
        y: usize,
        piece: &Piece,
        patch: &'a mut [i8],
    ) -> InputTiles<'a> {
        let top = y as isize - self.geometry.pad_top;
        let left = (4 * piece.x) as isize - self.geometry.pad_left;
        let pixels = 4 * piece.tiles + 2;
        let (channels, zero_point) = (self.channels, self.zero_point);
        let tiles = |data, row_pitch, pixel_pitch| InputTiles {
            data,
            row_pitch,
            pixel_pitch,
            tiles: piece.tiles,
            channels,
            zero_point,
        };
        let inside = top >= 0
            && left >= 0
            && top as usize + 6 <= input.height
            && left as usize + pixels <= input.width;
        if inside {
            // Whatever lies behind the last channel meets weights of zero.
            let at = top as usize * input.row_pitch + left as usize * input.pixel_pitch;
            let last = 5 * input.row_pitch + (pixels - 1) * input.pixel_pitch;
            if at + last + channels <= input.data.len() {
                return tiles(&input.data[at..], input.row_pitch, input.pixel_pitch);
            }
        }
        let row_pitch = pixels * channels;
        for (y, row) in (top..).zip(patch.chunks_exact_mut(row_pitch).take(6)) {
            copy_row(input, y, Span { left, pixels }, zero_point as i8, channels, row);
        }
        tiles(&patch[..6 * row_pitch], row_pitch, channels)
    }
}

/// Row `y` of the input with padding around it, `channels` a pixel.
fn copy_row(
    input: &Picture,
    y: isize,
    span: Span,
    zero_point: i8,
    channels: usize,
    row: &mut [i8],
) {
    row.fill(zero_point);
    let Some(y) = usize::try_from(y).ok().filter(|y| *y < input.height) else { return };
    let (from, pixels) = span.inside(input.width);
    let data = &input.data[y * input.row_pitch..];
    let row = &mut row[from.pad * channels..];
    if input.pixel_pitch == channels && input.channels == channels {
        row[..pixels * channels].copy_from_slice(&data[from.x * channels..][..pixels * channels]);
        return;
    }
    for (x, pixel) in (from.x..from.x + pixels).zip(row.chunks_exact_mut(channels)) {
        pixel[..input.channels].copy_from_slice(&data[x * input.pixel_pitch..][..input.channels]);
    }
}

/// Tiles side by side.
struct Piece {
    /// The number of the first.
    tile: usize,
    /// Its place, in tiles.
    x: usize,
    y: usize,
    tiles: usize,
}

/// Cuts `count` tiles from `first` on, of rows of `across`, into pieces of at most `most`.
fn pieces(first: usize, count: usize, across: usize, most: usize) -> impl Iterator<Item = Piece> {
    let mut tile = first;
    std::iter::from_fn(move || {
        let left = first + count - tile;
        let (x, y) = (tile % across, tile / across);
        let tiles = left.min(across - x).min(most);
        let piece = Piece { tile, x, y, tiles };
        tile += tiles;
        (tiles > 0).then_some(piece)
    })
}

/// A kernel of 3×3 seen at 6×6 points, 576 times too large (the last row and column a quarter).
fn transform(kernel: [i16; 9]) -> [i16; 36] {
    const ROWS: [[i16; 3]; 6] =
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 6]];
    std::array::from_fn(|position| {
        let (down, across) = (ROWS[position / 6], ROWS[position % 6]);
        (0..9).map(|tap| down[tap / 3] * across[tap % 3] * kernel[tap]).sum()
    })
}
