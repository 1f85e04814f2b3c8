//! What a run reads, and where it keeps things: all that its guard leaves it.

use super::arguments::RunArguments;
use super::run::DEMO_FOLDER;
use crate::config::board::Board;
use crate::guard::Needs;
use crate::network::model::BUILT_IN;
use std::path::{Path, PathBuf};

impl RunArguments {
    /// Models, cards and board files with the folders they are in: another one that takes their
    /// place is taken without a restart. A device that stays may also be told of any in the folder
    /// it was started in.
    pub fn needs(&self, board: &Board, displays: &[String]) -> Needs {
        let model = self.model.as_deref().or(board.model.as_deref());
        let model = model.filter(|model| *model != BUILT_IN).map(Path::new);
        let file = self.board.as_deref().map(Path::new).filter(|file| file.is_file());
        let card = self.card.card.as_deref();
        let named = [model, file, card].into_iter().flatten();
        let mut read: Vec<PathBuf> = named.flat_map(holders).collect();
        let camera = self.camera.clone().or_else(|| board.camera());
        let camera = camera.as_deref().unwrap_or_default();
        read.extend(["file:", "replay:"].iter().filter_map(|kind| path(camera, kind)));
        let here = std::env::current_dir().ok().filter(|_| self.stay);
        read.extend(here.filter(|here| here.parent().is_some()));

        let mut write: Vec<PathBuf> =
            [&self.record, &self.log].into_iter().flatten().cloned().collect();
        let folder = |file: &PathBuf| match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        write.extend(self.metrics.iter().map(folder));
        write.extend(displays.iter().filter_map(|uri| path(uri, "png:")));
        // Those that have keys; one of them makes snapshots.
        let desktop = displays.iter().any(|uri| uri.starts_with("window:"));
        if desktop || displays.iter().any(|uri| uri.starts_with("terminal:")) {
            write.push(DEMO_FOLDER.into());
        }
        Needs { read, write, desktop }
    }
}

/// The path of a URI of that kind.
fn path(uri: &str, kind: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix(kind)?;
    Some(rest.split('?').next().unwrap_or(rest).into())
}

/// The folders that hold it, under its name and where links lead; of what is not there yet, the
/// next that is. Never the whole tree.
fn holders(named: &Path) -> Vec<PathBuf> {
    let absolute = std::path::absolute(named).unwrap_or_else(|_| named.to_owned());
    let holder = |path: &Path| {
        let above = path.ancestors().skip(1).find(|above| above.exists());
        above.filter(|above| above.parent().is_some()).unwrap_or(path).to_owned()
    };
    let real = absolute.canonicalize().ok();
    [Some(holder(&absolute)), real.as_deref().map(holder)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_named_is_read_and_kept_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().canonicalize().unwrap();
        for name in ["a/model", "b"] {
            fs::create_dir_all(place.join(name)).unwrap();
        }
        symlink(place.join("a/model"), place.join("b/link")).unwrap();
        let text = |name: &str| place.join(name).to_str().unwrap().to_owned();
        let board = Board::open("host").unwrap();
        let arguments = RunArguments {
            model: Some(text("b/link")),
            camera: Some(format!("replay:{}?fps=3", text("clips"))),
            record: Some(place.join("kept")),
            ..RunArguments::default()
        };
        let displays = [format!("png:{}?last=2", text("out")), "null:".to_owned()];
        let needs = arguments.needs(&board, &displays);
        assert_eq!(needs.read, [place.join("b"), place.join("a"), place.join("clips")]);
        assert_eq!(needs.write, [place.join("kept"), place.join("out")]);
        assert!(!needs.desktop);
        assert!(arguments.needs(&board, &["window:".to_owned()]).desktop);
        // The built-in ones have no files.
        let none = RunArguments::default().needs(&board, &[]);
        assert_eq!(none, Needs::default());
    }

    #[test]
    fn the_whole_tree_is_never_meant() {
        assert_eq!(holders(Path::new("/net.onnx")), [Path::new("/net.onnx")]);
        assert_eq!(holders(Path::new("/none/of/these")), [Path::new("/none/of/these")]);
        assert_eq!(holders(Path::new("/usr/none/of/these")), [Path::new("/usr")]);
    }
}
