//! NumPy's .npy files, formats 1.0 to 3.0, for `infer --tensor`.
//!
//! Format: numpy.lib.format in NumPy's reference. Little-endian, C order.

use crate::files;
use std::path::Path;
use thiserror::Error;
use tract_onnx::prelude::{DatumType, Tensor};

/// The largest file that is read.
const MAX_FILE: u64 = 1 << 30;
const MAGIC: &[u8] = b"\x93NUMPY";

#[derive(Debug, Error)]
pub enum NpyError {
    #[error("{path}: cannot be read: {cause}; check the path")]
    Read { path: String, cause: std::io::Error },
    #[error("{path}: {found}, expected {expected}; write it with numpy.save(path, array)")]
    Format { path: String, found: String, expected: &'static str },
}

/// Element types by NumPy's names.
const TYPES: [(&str, DatumType); 11] = [
    ("|u1", DatumType::U8),
    ("|i1", DatumType::I8),
    ("<f4", DatumType::F32),
    ("<f8", DatumType::F64),
    ("<i4", DatumType::I32),
    ("<i8", DatumType::I64),
    ("<u2", DatumType::U16),
    ("<i2", DatumType::I16),
    ("<u4", DatumType::U32),
    ("<u8", DatumType::U64),
    ("|b1", DatumType::Bool),
];

/// Reads a tensor.
pub fn read(path: &Path) -> Result<Tensor, NpyError> {
    let name = path.display().to_string();
    let bytes = files::read(path, MAX_FILE)
        .map_err(|cause| NpyError::Read { path: name.clone(), cause })?;
    parse(&bytes).map_err(|(found, expected)| NpyError::Format { path: name, found, expected })
}

fn parse(bytes: &[u8]) -> Result<Tensor, (String, &'static str)> {
    let none = |what: &str| (format!("no {what}"), "a NumPy .npy file");
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| none("NumPy signature"))?;
    let (header, data) = match rest {
        [1, _, low, high, rest @ ..] => {
            rest.split_at_checked(u16::from_le_bytes([*low, *high]) as usize)
        }
        [2 | 3, _, a, b, c, d, rest @ ..] => {
            rest.split_at_checked(u32::from_le_bytes([*a, *b, *c, *d]) as usize)
        }
        _ => None,
    }
    .ok_or_else(|| none("whole header"))?;
    let header = std::str::from_utf8(header).map_err(|_| none("readable header"))?;
    let kind = quoted(field(header, "descr").ok_or_else(|| none("element type"))?);
    let Some((_, element)) = TYPES.iter().find(|(name, _)| *name == kind) else {
        return Err((
            format!("elements of type {kind}"),
            "b1 u1 i1 u2 i2 u4 i4 u8 i8 f4 f8, little-endian",
        ));
    };
    if field(header, "fortran_order").is_none_or(|order| !order.starts_with("False")) {
        return Err(("column order".to_owned(), "C order (numpy.ascontiguousarray)"));
    }
    let shape = field(header, "shape").and_then(|text| text.strip_prefix('('));
    let shape = shape.and_then(|text| text.split_once(')')).ok_or_else(|| none("shape"))?.0;
    let shape: Vec<usize> = shape
        .split(',')
        .map(str::trim)
        .filter(|dim| !dim.is_empty())
        .map(|dim| dim.parse().map_err(|_| (format!("dimension \"{dim}\""), "a number")))
        .collect::<Result<_, _>>()?;
    let size = shape
        .iter()
        .try_fold(element.size_of(), |size, dim| size.checked_mul(*dim))
        .filter(|size| *size == data.len());
    if size.is_none() {
        return Err((
            format!("shape {shape:?} of {kind} with {} bytes of data", data.len()),
            "as many bytes as the shape says",
        ));
    }
    let mut tensor = Tensor::zero_dt(*element, &shape)
        .map_err(|_| (format!("shape {shape:?}"), "one that fits into memory"))?;
    match element {
        DatumType::Bool => {
            let bytes = tensor.as_bytes_mut().iter_mut().zip(data);
            bytes.for_each(|(byte, truth)| *byte = u8::from(*truth != 0));
        }
        _ => tensor.as_bytes_mut().copy_from_slice(data),
    }
    Ok(tensor)
}

/// What follows `'key':` in the header's dictionary.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = header.find(&format!("'{key}'"))?;
    let (_, value) = header[at..].split_once(':')?;
    Some(value.trim_start())
}

fn quoted(text: &str) -> &str {
    text.split('\'').nth(1).unwrap_or(text)
}

/// A tensor as a file's bytes; None for an element type NumPy has no name for here.
pub fn to_bytes(tensor: &Tensor) -> Option<Vec<u8>> {
    let (kind, _) = TYPES.iter().find(|(_, element)| *element == tensor.datum_type())?;
    let dims: String = tensor.shape().iter().map(|dim| format!("{dim}, ")).collect();
    let mut header =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    // The data begins at a multiple of 64.
    let padded = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    header.extend(std::iter::repeat_n(' ', padded - 1 - header.len()));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(u16::try_from(header.len()).ok()?.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(tensor.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::prelude::tensor1;

    #[test]
    fn what_is_written_reads_the_same() {
        for tensor in [
            tensor1(&[1.5f32, -2.0, 3.25]).into_shape(&[1, 3]).unwrap(),
            tensor1(&[1i64, -2]),
            tensor1(&[0u8, 255]).into_shape(&[2, 1, 1]).unwrap(),
            Tensor::zero::<i8>(&[0]).unwrap(),
        ] {
            let bytes = to_bytes(&tensor).unwrap();
            assert_eq!((bytes.len() - tensor.as_bytes().len()) % 64, 0);
            assert_eq!(parse(&bytes).unwrap(), tensor);
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let bytes = to_bytes(&tensor1(&[1.0f32, 2.0])).unwrap();
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end]).is_err(), "cut at {end}");
        }
        let text = String::from_utf8_lossy(&bytes[10..128]).into_owned();
        let patched = |from: &str, to: &str| {
            let mut patched = bytes[..10].to_vec();
            patched.extend(text.replace(from, to).as_bytes());
            patched.extend(&bytes[128..]);
            parse(&patched)
        };
        assert!(patched("(2,)", "(9,)").unwrap_err().0.contains("8 bytes of data"));
        assert!(patched("<f4", "<c8").unwrap_err().0.contains("type <c8"));
        assert!(patched("False", "True ").unwrap_err().1.contains("ascontiguousarray"));
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2000 {
            let mut flipped = bytes.clone();
            let at = random.usize(..flipped.len());
            flipped[at] ^= 1 << random.u8(..8);
            let _ = parse(&flipped);
        }
    }
}
