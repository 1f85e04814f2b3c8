//! What the kernels answer, in plain Rust: exact 32-bit sums, requantized once.

use super::{
    Columns, DepthwiseRow, Element, Format, Products, ProductsFormat, Requantize, Row, Store,
    Weights,
};

/// The smallest there is: one element, one column.
pub const FORMAT: Format = Format { element: Element::Difference, group: 1, block: 1 };
/// Fewer products gain nothing here.
pub const PRODUCTS_FORMAT: ProductsFormat = ProductsFormat {
    group: 1,
    block: 8,
    least_tiles: usize::MAX,
    least_products: usize::MAX,
    least_channels: 8,
    most_bytes: 0,
};

pub fn dense(row: &Row, columns: &Columns, store: &mut Store) {
    columns.check(row, store, FORMAT);
    let Weights::Words(weights) = &columns.weights else { return };
    for pixel in 0..row.pixels {
        let window = pixel * row.pixel_stride;
        for column in 0..columns.count {
            let mut weights = weights[column * columns.depth..].iter();
            let mut sum = columns.start[column];
            for start in row.runs {
                let run = &row.panel[window + start..][..2 * row.run];
                for (x, w) in run.as_chunks::<2>().0.iter().zip(&mut weights) {
                    let x = i16::from_ne_bytes(*x);
                    sum = sum.wrapping_add(i32::from(x) * i32::from(*w));
                }
            }
            match store {
                Store::Bytes { requantize, out, pixel_pitch, segments } => {
                    for segment in *segments {
                        if (segment.column..segment.column + segment.columns).contains(&column) {
                            let at = segment.offset + column - segment.column;
                            out[pixel * *pixel_pitch + at] = requantize.apply(sum, column);
                        }
                    }
                }
                Store::Sums { out, pixel_pitch } => out[pixel * *pixel_pitch + column] = sum,
            }
        }
    }
}

pub fn depthwise(row: &DepthwiseRow, requantize: &Requantize, out: &mut [i8], pixel_pitch: usize) {
    row.check(requantize, out, pixel_pitch);
    for pixel in 0..row.pixels {
        for channel in 0..row.channels {
            let mut sum = row.bias[channel];
            for (tap, start) in row.taps.iter().enumerate() {
                let x = row.panel[pixel * row.pixel_stride + start + channel];
                let w = row.weights[tap * row.channels + channel];
                sum = sum.wrapping_add(i32::from(x) * i32::from(w));
            }
            out[pixel * pixel_pitch + channel] = requantize.apply(sum, channel);
        }
    }
}

pub fn products(products: &Products, out: &mut [i32]) {
    products.check(out, PRODUCTS_FORMAT);
    let Products { positions, panel, tiles, depth, weights, columns } = *products;
    for row in 0..positions * tiles {
        let weights = &weights[row / tiles * depth * columns..];
        for column in 0..columns {
            let panel = &panel[row * depth..][..depth];
            out[row * columns + column] = panel.iter().enumerate().fold(0, |sum: i32, (k, x)| {
                sum.wrapping_add(i32::from(*x) * i32::from(weights[k * columns + column]))
            });
        }
    }
}
