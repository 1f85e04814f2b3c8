//! `png:DIR`: pictures as files.

use super::{Display, DisplayError, Size};
use crate::config::uri::Uri;
use crate::files;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub struct Png {
    name: String,
    folder: PathBuf,
    prefix: String,
    /// How many of our files stay.
    last: usize,
    /// At most one picture in this time, and the very last one.
    every: Duration,
    size: Size,
    rgb: Vec<u8>,
    encoded: Vec<u8>,
    /// When a picture was last written.
    written: Option<Instant>,
    /// The number of the picture in `rgb`, when it is not on disk.
    pending: Option<u64>,
    /// Our files, oldest first; empty when all stay.
    files: VecDeque<PathBuf>,
}

impl Png {
    pub fn open(mut uri: Uri) -> Result<Png, DisplayError> {
        let last = uri.take_in("last", 1..=1_000_000)?.unwrap_or(usize::MAX);
        let seconds = uri.take_in("every", 0.0..=1e6)?.unwrap_or(0.0);
        let prefix = uri.take("prefix").unwrap_or_else(|| "frame-".to_owned());
        if prefix.contains(['/', '\0']) {
            return Err(uri.refuse("prefix", &prefix, "the beginning of a file name").into());
        }
        let (name, folder) = (uri.text().to_owned(), PathBuf::from(&uri.path));
        uri.finish()?;
        if folder.as_os_str().is_empty() {
            let message = "names no folder; write png:segcam-out".to_owned();
            return Err(DisplayError::Failed { display: name, message });
        }
        check_folder(&folder).map_err(|cause| files::WriteError { path: folder.clone(), cause })?;
        Ok(Png {
            name,
            folder,
            prefix,
            last,
            every: Duration::from_secs_f64(seconds),
            size: Size { width: 0, height: 0 },
            rgb: Vec::new(),
            encoded: Vec::new(),
            written: None,
            pending: None,
            files: VecDeque::new(),
        })
    }

    fn save(&mut self, sequence: u64) -> Result<(), DisplayError> {
        self.pending = None;
        self.encoded.clear();
        let encoder =
            PngEncoder::new_with_quality(&mut self.encoded, CompressionType::Fast, FilterType::Up);
        let Size { width, height } = self.size;
        encoder.write_image(&self.rgb, width, height, ExtendedColorType::Rgb8).map_err(
            |error| DisplayError::Failed { display: self.name.clone(), message: error.to_string() },
        )?;
        let path = self.folder.join(format!("{}{sequence:06}.png", self.prefix));
        files::write(&path, &self.encoded)?;
        self.written = Some(Instant::now());
        if self.last < usize::MAX {
            // A picture shown twice has one file.
            self.files.retain(|file| *file != path);
            self.files.push_back(path);
            while self.files.len() > self.last {
                let oldest = self.files.pop_front();
                // Somebody else may have taken it away.
                let _ = oldest.map(std::fs::remove_file);
            }
        }
        Ok(())
    }
}

/// Makes the folder, and finds out early when nothing can be written there.
fn check_folder(folder: &Path) -> std::io::Result<()> {
    use rustix::fs::Access;
    std::fs::create_dir_all(folder)?;
    Ok(rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

impl Display for Png {
    fn size(&self) -> Option<Size> {
        None
    }

    fn begin(&mut self, size: Size) -> Result<(), DisplayError> {
        // The picture held back is overtaken.
        self.pending = None;
        self.size = size;
        self.rgb.resize(3 * size.width as usize * size.height as usize, 0);
        Ok(())
    }

    fn write_row(&mut self, y: u32, row: &[u8]) {
        let length = 3 * self.size.width as usize;
        let out = self.rgb.chunks_exact_mut(length.max(1)).nth(y as usize).unwrap_or_default();
        for (out, pixel) in out.chunks_exact_mut(3).zip(row.chunks_exact(4)) {
            out.copy_from_slice(&[pixel[2], pixel[1], pixel[0]]);
        }
    }

    fn present(&mut self, sequence: u64) -> Result<(), DisplayError> {
        if self.written.is_some_and(|at| at.elapsed() < self.every) {
            self.pending = Some(sequence);
            return Ok(());
        }
        self.save(sequence)
    }

    fn finish(&mut self) -> Result<(), DisplayError> {
        match self.pending {
            Some(sequence) => self.save(sequence),
            None => Ok(()),
        }
    }
}

impl Drop for Png {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            log::error!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::display::open;
    use crate::display::tests::show;
    use std::path::Path;

    fn names(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn uri(folder: &Path, query: &str) -> String {
        format!("png:{}{query}", folder.display())
    }

    #[test]
    fn pictures_are_what_was_shown_in_a_folder_that_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("a/b");
        let mut display = open(&uri(&folder, "")).unwrap();
        assert_eq!(display.size(), None);
        show(display.as_mut(), (3, 2), [30, 20, 10, 99], 7);
        show(display.as_mut(), (1, 5), [3, 2, 1, 99], 1_234_567);
        assert_eq!(names(&folder), ["frame-000007.png", "frame-1234567.png"]);
        let image = image::open(folder.join("frame-000007.png")).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (3, 2));
        assert!(image.pixels().all(|pixel| pixel.0 == [10, 20, 30]));
        let image = image::open(folder.join("frame-1234567.png")).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (1, 5));
    }

    #[test]
    fn the_last_ones_stay_and_the_files_of_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shot-000000.png"), "another's").unwrap();
        let mut display = open(&uri(folder.path(), "?last=2&prefix=shot-")).unwrap();
        for sequence in [1, 2, 2, 3, 5, 5] {
            show(display.as_mut(), (2, 2), [0; 4], sequence);
        }
        let left = ["shot-000000.png", "shot-000003.png", "shot-000005.png"];
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn between_times_only_the_very_last_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for (finish, left) in [(true, 4), (false, 5)] {
            let mut display = open(&uri(folder.path(), "?every=1000")).unwrap();
            for sequence in 1..=left {
                show(display.as_mut(), (2, 2), [sequence as u8; 4], sequence);
            }
            if finish {
                display.finish().unwrap();
                display.finish().unwrap();
            }
            drop(display);
            let last = format!("frame-{left:06}.png");
            assert!(names(folder.path()).contains(&last));
            let image = image::open(folder.path().join(last)).unwrap().to_rgb8();
            assert_eq!(image.get_pixel(0, 0).0, [left as u8; 3]);
        }
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn a_folder_that_takes_no_files_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let error = |folder: &Path| match open(&uri(folder, "")) {
            Ok(_) => panic!("opened"),
            Err(error) => error.to_string(),
        };
        assert!(error(&file).contains("file: cannot be written: "));
        assert!(error(&file.join("under")).contains("file/under: cannot be written: "));
        assert!(error(Path::new("/proc/segcam")).contains("/proc/segcam: cannot be written: "));
        // Gone while running.
        let gone = folder.path().join("gone");
        let mut display = open(&uri(&gone, "")).unwrap();
        std::fs::remove_dir(&gone).unwrap();
        display.begin(crate::display::Size { width: 1, height: 1 }).unwrap();
        display.write_row(0, &[0; 4]);
        let error = display.present(0).unwrap_err().to_string();
        assert!(error.contains("gone/frame-000000.png: cannot be written"), "{error}");
    }
}
