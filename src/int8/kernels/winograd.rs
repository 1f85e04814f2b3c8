//! The transforms of Winograd's F(4×4, 3×3) around its small matrix products, for vectors of any
//! set.
//!
//! Points 0, ±1, ±2, ∞. The kernels' transform is scaled by 24 in each direction and its last row
//! divided by 4, so that all numbers are integers: the products' sums come out 576 times too
//! large. They may wrap: all is linear modulo 2^32, a 9th is a product, and a 64th is left to the
//! requantization, whose floats it does not change. Sums below 2^25 come out right.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use super::Requantize;

/// Tiles that [`input`] takes at once.
pub const TILES: usize = 8;
/// Input pixels that one direction of so many tiles sees.
const PIXELS: usize = 4 * TILES + 2;

/// Some tiles side by side: 6 rows of `4 * tiles + 2` pixels.
#[derive(Clone, Copy, Debug)]
pub struct InputTiles<'a> {
    /// Element (y, x, c) is at `y * row_pitch + x * pixel_pitch + c`.
    pub data: &'a [i8],
    pub row_pitch: usize,
    pub pixel_pitch: usize,
    /// At most [`TILES`].
    pub tiles: usize,
    /// A multiple of 8.
    pub channels: usize,
    pub zero_point: i32,
}

/// The products' sums of some tiles side by side, for some columns.
#[derive(Clone, Copy, Debug)]
pub struct OutputTiles<'a> {
    /// `[6 * 6][tile][column]`.
    pub sums: &'a [i32],
    /// From one of the 36 to the next.
    pub position_pitch: usize,
    pub tiles: usize,
    /// A multiple of 8.
    pub columns: usize,
    /// How many of them exist.
    pub valid: usize,
    /// 576 times the bias, wrapping, one a column, filled up to `columns`.
    pub bias: &'a [i32],
    /// The first column in `requantize`.
    pub column: usize,
    /// Output rows (at most 4) and pixels (at most 4 a tile) that exist.
    pub rows: usize,
    pub pixels: usize,
    pub row_pitch: usize,
    pub pixel_pitch: usize,
}

/// 16-bit lanes. Whoever calls has checked that the processor has it.
pub trait Words: Copy {
    const LANES: usize;
    unsafe fn splat(value: i16) -> Self;
    /// Bytes, sign extended.
    unsafe fn widen(from: *const i8) -> Self;
    unsafe fn store(self, to: *mut i16);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn shl<const N: u32>(self) -> Self;
}

/// 32-bit lanes, wrapping. Whoever calls has checked that the processor has it.
pub trait Longs: Copy {
    const LANES: usize;
    type Scale: Copy;
    unsafe fn load(from: *const i32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn shl<const N: u32>(self) -> Self;
    /// A ninth, exact.
    unsafe fn ninth(self) -> Self;
    /// That of sums 64 times too large.
    unsafe fn scale(multiplier: *const f32, addend: *const f32, valid: usize) -> Self::Scale;
    /// Requantizes and stores the first `valid` lanes.
    unsafe fn store_bytes(self, scale: Self::Scale, to: &Requantize, out: *mut i8, valid: usize);
    /// The same with all lanes of four pixels.
    #[inline(always)]
    unsafe fn store_four(
        sums: [Self; 4],
        scale: Self::Scale,
        to: &Requantize,
        out: *mut i8,
        pixel_pitch: usize,
    ) {
        for (x, sums) in sums.into_iter().enumerate() {
            // SAFETY: as the trait's.
            unsafe { sums.store_bytes(scale, to, out.add(x * pixel_pitch), Self::LANES) }
        }
    }
}

/// 9 times this is 1 modulo 2^32.
pub const NINTH: i32 = 954_437_177;

impl InputTiles<'_> {
    /// Panics unless every load and store stays inside its slices.
    pub fn check(&self, out: &[i16], position_pitch: usize) {
        assert!(self.tiles <= TILES && self.channels.is_multiple_of(8));
        let last = 5 * self.row_pitch + (4 * self.tiles + 1) * self.pixel_pitch;
        assert!(self.data.len() >= last + self.channels);
        assert!(out.len() >= 35 * position_pitch + self.tiles * self.channels);
    }
}

impl OutputTiles<'_> {
    /// The same.
    pub fn check(&self, requantize: &Requantize, out: &[i8]) {
        assert!(self.columns.is_multiple_of(8) && self.valid <= self.columns);
        assert!(self.bias.len() >= self.columns);
        assert!(self.sums.len() >= 35 * self.position_pitch + self.tiles * self.columns);
        assert!(requantize.multiplier.len() >= self.column + self.valid);
        assert!(requantize.addend.len() >= self.column + self.valid);
        assert!((1..=4).contains(&self.rows) && (1..=4 * self.tiles).contains(&self.pixels));
        let last = (self.rows - 1) * self.row_pitch + (self.pixels - 1) * self.pixel_pitch;
        assert!(out.len() >= last + self.valid);
    }
}

/// One direction of the input's transform.
#[inline(always)]
unsafe fn forward<V: Words>(d: [V; 6]) -> [V; 6] {
    // SAFETY: as the caller's.
    unsafe {
        let a = d[4].sub(d[2].shl::<2>());
        let b = d[3].sub(d[1].shl::<2>());
        let c = d[4].sub(d[2]);
        let e = d[3].sub(d[1]).shl::<1>();
        let f = d[0].sub(d[2]).shl::<2>().add(c);
        let g = d[1].sub(d[3]).shl::<2>().add(d[5].sub(d[3]));
        [f, a.add(b), a.sub(b), c.add(e), c.sub(e), g]
    }
}

/// One direction of the output's transform.
#[inline(always)]
unsafe fn backward<V: Longs>(m: [V; 6]) -> [V; 4] {
    // SAFETY: as the caller's.
    unsafe {
        let (s, d) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (t, e) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(s).add(t),
            d.add(e.shl::<1>()),
            s.add(t.shl::<2>()),
            d.add(e.shl::<3>()).add(m[5].shl::<2>()),
        ]
    }
}

/// Channels from `channel` on, to `out[position * position_pitch + tile * channels + channel]`.
/// Whoever calls has checked the tiles.
#[inline(always)]
pub unsafe fn input<V: Words>(
    tiles: &InputTiles,
    channel: usize,
    out: &mut [i16],
    position_pitch: usize,
) {
    // SAFETY: all tiles, rows and channels were checked; only columns that are written are read.
    unsafe {
        let zero_point = V::splat(tiles.zero_point as i16);
        let mut columns = [MaybeUninit::<[V; 6]>::uninit(); PIXELS];
        let data = tiles.data.as_ptr().add(channel);
        for (x, column) in columns[..4 * tiles.tiles + 2].iter_mut().enumerate() {
            let mut d = [zero_point; 6];
            for (y, d) in d.iter_mut().enumerate() {
                let from = data.add(y * tiles.row_pitch + x * tiles.pixel_pitch);
                *d = V::widen(from).sub(zero_point);
            }
            column.write(forward(d));
        }
        let out = out.as_mut_ptr().add(channel);
        for tile in 0..tiles.tiles {
            let columns = &columns[4 * tile..][..6];
            for i in 0..6 {
                let mut d = [zero_point; 6];
                for (d, column) in d.iter_mut().zip(columns) {
                    *d = column.assume_init_ref()[i];
                }
                for (j, u) in forward(d).into_iter().enumerate() {
                    u.store(out.add((6 * i + j) * position_pitch + tile * tiles.channels));
                }
            }
        }
    }
}

/// Columns from `column` of the block on; pixel (y, x) of all tiles together goes to
/// `out[y * row_pitch + x * pixel_pitch + column]`. Whoever calls has checked the tiles.
#[inline(always)]
pub unsafe fn output<V: Longs>(
    tiles: &OutputTiles,
    column: usize,
    requantize: &Requantize,
    out: &mut [i8],
) {
    if column >= tiles.valid {
        return;
    }
    // SAFETY: all tiles, rows and columns were checked.
    unsafe {
        let valid = (tiles.valid - column).min(V::LANES);
        let at = tiles.column + column;
        let multiplier = requantize.multiplier.as_ptr().add(at);
        let scale = V::scale(multiplier, requantize.addend.as_ptr().add(at), valid);
        let bias = V::load(tiles.bias.as_ptr().add(column));
        let out = out.as_mut_ptr().add(column);
        for tile in 0..tiles.tiles {
            let sums = tiles.sums.as_ptr().add(tile * tiles.columns + column);
            let pitch = tiles.position_pitch;
            // In registers all the way: nothing here may index with a variable.
            let h = [
                backward(position_column(sums, pitch)),
                // The product at point (1, 1) is part of every output.
                backward(plus_at_1(position_column(sums.add(pitch), pitch), bias)),
                backward(position_column(sums.add(2 * pitch), pitch)),
                backward(position_column(sums.add(3 * pitch), pitch)),
                backward(position_column(sums.add(4 * pitch), pitch)),
                backward(position_column(sums.add(5 * pitch), pitch)),
            ];
            let y = [
                ninths(backward([h[0][0], h[1][0], h[2][0], h[3][0], h[4][0], h[5][0]])),
                ninths(backward([h[0][1], h[1][1], h[2][1], h[3][1], h[4][1], h[5][1]])),
                ninths(backward([h[0][2], h[1][2], h[2][2], h[3][2], h[4][2], h[5][2]])),
                ninths(backward([h[0][3], h[1][3], h[2][3], h[3][3], h[4][3], h[5][3]])),
            ];
            let pixels = (tiles.pixels - 4 * tile).min(4);
            let out = out.add(4 * tile * tiles.pixel_pitch);
            let (row_pitch, pixel_pitch) = (tiles.row_pitch, tiles.pixel_pitch);
            if tiles.rows == 4 && pixels == 4 && valid == V::LANES {
                V::store_four(y[0], scale, requantize, out, pixel_pitch);
                V::store_four(y[1], scale, requantize, out.add(row_pitch), pixel_pitch);
                V::store_four(y[2], scale, requantize, out.add(2 * row_pitch), pixel_pitch);
                V::store_four(y[3], scale, requantize, out.add(3 * row_pitch), pixel_pitch);
            } else {
                // Only the copy needs an address.
                let copy = y;
                for (i, sums) in copy[..tiles.rows].iter().enumerate() {
                    for (x, sums) in sums[..pixels].iter().enumerate() {
                        let out = out.add(i * row_pitch + x * pixel_pitch);
                        sums.store_bytes(scale, requantize, out, valid);
                    }
                }
            }
        }
    }
}

/// Six sums that are six positions apart.
#[inline(always)]
unsafe fn position_column<V: Longs>(sums: *const i32, pitch: usize) -> [V; 6] {
    // SAFETY: as the caller's.
    unsafe {
        [
            V::load(sums),
            V::load(sums.add(6 * pitch)),
            V::load(sums.add(12 * pitch)),
            V::load(sums.add(18 * pitch)),
            V::load(sums.add(24 * pitch)),
            V::load(sums.add(30 * pitch)),
        ]
    }
}

#[inline(always)]
unsafe fn plus_at_1<V: Longs>(m: [V; 6], more: V) -> [V; 6] {
    // SAFETY: as the caller's.
    unsafe { [m[0], m[1].add(more), m[2], m[3], m[4], m[5]] }
}

#[inline(always)]
unsafe fn ninths<V: Longs>(y: [V; 4]) -> [V; 4] {
    // SAFETY: as the caller's.
    unsafe { [y[0].ninth(), y[1].ninth(), y[2].ninth(), y[3].ninth()] }
}

impl<const N: usize> Words for [i16; N] {
    const LANES: usize = N;

    #[inline(always)]
    unsafe fn splat(value: i16) -> Self {
        [value; N]
    }

    #[inline(always)]
    unsafe fn widen(from: *const i8) -> Self {
        // SAFETY: as the trait's.
        unsafe { from.cast::<[i8; N]>().read_unaligned() }.map(i16::from)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut i16) {
        // SAFETY: as the trait's.
        unsafe { to.cast::<[i16; N]>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i].wrapping_add(other[i]))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i].wrapping_sub(other[i]))
    }

    #[inline(always)]
    unsafe fn shl<const S: u32>(self) -> Self {
        self.map(|x| x << S)
    }
}

impl<const N: usize> Longs for [i32; N] {
    const LANES: usize = N;
    type Scale = ([f32; N], [f32; N]);

    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        // SAFETY: as the trait's.
        unsafe { from.cast::<[i32; N]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i].wrapping_add(other[i]))
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i].wrapping_sub(other[i]))
    }

    #[inline(always)]
    unsafe fn shl<const S: u32>(self) -> Self {
        self.map(|x| x << S)
    }

    #[inline(always)]
    unsafe fn ninth(self) -> Self {
        self.map(|x| x.wrapping_mul(NINTH))
    }

    #[inline(always)]
    unsafe fn scale(multiplier: *const f32, addend: *const f32, valid: usize) -> Self::Scale {
        let mut scale = ([0.0; N], [0.0; N]);
        // SAFETY: as the trait's.
        unsafe {
            std::ptr::copy_nonoverlapping(multiplier, scale.0.as_mut_ptr(), valid);
            std::ptr::copy_nonoverlapping(addend, scale.1.as_mut_ptr(), valid);
        }
        scale.0 = scale.0.map(|multiplier| multiplier / 64.0);
        scale
    }

    #[inline(always)]
    unsafe fn store_bytes(self, scale: Self::Scale, to: &Requantize, out: *mut i8, valid: usize) {
        let bytes: [i8; N] = std::array::from_fn(|i| {
            let real = (self[i] as f32).mul_add(scale.0[i], scale.1[i]);
            let y = crate::int8::round_half_even(real).wrapping_add(to.zero_point);
            y.clamp(to.low.into(), to.high.into()) as i8
        });
        // SAFETY: as the trait's.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), out, valid) }
    }
}

/// The input's transform in vectors that any processor has.
pub fn plain_input(tiles: &InputTiles, out: &mut [i16], position_pitch: usize) {
    tiles.check(out, position_pitch);
    for channel in (0..tiles.channels).step_by(<[i16; 8] as Words>::LANES) {
        // SAFETY: checked above.
        unsafe { input::<[i16; 8]>(tiles, channel, out, position_pitch) }
    }
}

/// The output's.
pub fn plain_output(tiles: &OutputTiles, requantize: &Requantize, out: &mut [i8]) {
    tiles.check(requantize, out);
    for column in (0..tiles.columns).step_by(<[i32; 4] as Longs>::LANES) {
        // SAFETY: checked above.
        unsafe { output::<[i32; 4]>(tiles, column, requantize, out) }
    }
}
