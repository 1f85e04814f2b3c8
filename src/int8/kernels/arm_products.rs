//! The small matrix products of Winograd's algorithm: SMLAL by element, sixteen columns times four
//! tiles.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::array::from_fn;

use super::{Products, ProductsFormat};

pub const FORMAT: ProductsFormat = ProductsFormat { group: 1, block: 16 };

pub fn products(products: &Products, out: &mut [i32]) {
    products.check(out, FORMAT);
    // SAFETY: the sizes are checked.
    unsafe {
        for column in (0..products.columns).step_by(16) {
            let wide = column + 16 <= products.columns;
            let mut tile = 0;
            while tile < products.tiles {
                if products.tiles < 4 {
                    if wide {
                        product::<1, 2>(products, out, tile, column);
                    } else {
                        product::<1, 1>(products, out, tile, column);
                    }
                    tile += 1;
                    continue;
                }
                let first = tile.min(products.tiles - 4);
                if wide {
                    product::<4, 2>(products, out, first, column);
                } else {
                    product::<4, 1>(products, out, first, column);
                }
                tile += 4;
            }
        }
    }
}

/// V × 8 columns of T tiles.
#[inline(always)]
unsafe fn product<const T: usize, const V: usize>(
    products: &Products,
    out: &mut [i32],
    tile: usize,
    column: usize,
) {
    let Products { depth, columns, .. } = *products;
    // SAFETY: the caller has checked the sizes.
    unsafe {
        let mut sums = [[[vdupq_n_s32(0); 2]; V]; T];
        let panel = products.panel.as_ptr().add(tile * depth);
        let mut weights = products.weights.as_ptr().add(column);
        let mut k = 0;
        while k + 8 <= depth {
            let x: [_; T] = from_fn(|t| vld1q_s16(panel.add(t * depth + k)));
            macro_rules! lanes {
                ($($lane:literal)*) => { $(
                    for v in 0..V {
                        let w = vld1q_s16(weights.add(8 * v));
                        for t in 0..T {
                            let [low, high] = &mut sums[t][v];
                            *low = vmlal_laneq_s16::<$lane>(*low, vget_low_s16(w), x[t]);
                            *high = vmlal_high_laneq_s16::<$lane>(*high, w, x[t]);
                        }
                    }
                    weights = weights.add(columns);
                )* };
            }
            lanes!(0 1 2 3 4 5 6 7);
            k += 8;
        }
        while k < depth {
            for v in 0..V {
                let w = vld1q_s16(weights.add(8 * v));
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = *panel.add(t * depth + k);
                    let [low, high] = &mut sums[v];
                    *low = vmlal_n_s16(*low, vget_low_s16(w), x);
                    *high = vmlal_high_n_s16(*high, w, x);
                }
            }
            weights = weights.add(columns);
            k += 1;
        }
        for (t, sums) in sums.iter().enumerate() {
            for (v, [low, high]) in sums.iter().enumerate() {
                let out = out.as_mut_ptr().add((tile + t) * columns + column + 8 * v);
                vst1q_s32(out, *low);
                vst1q_s32(out.add(4), *high);
            }
        }
    }
}
