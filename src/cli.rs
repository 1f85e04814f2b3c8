//! The command line: raw arguments -> a checked command -> an exit code.
//!
//! Exit codes: 0 done, 1 failed while running, 2 wrong arguments or configuration. Results go to
//! standard output, diagnostics to standard error.

use crate::camera::{self, CameraError};
use crate::compose::{Compositor, Scene, Settings, Shown, Status, View};
use crate::display::{self, Display, DisplayError};
use crate::infer::{self, InferError};
use crate::network::model::{BUILT_IN, Model, ModelArguments};
use crate::network::{NetworkError, inspect, load, model};
use crate::pipeline::{self, Job, Keys, RunError, Summary};
use crate::{bench, doctor, evaluate};
use clap::{ArgAction, Args, Parser, Subcommand};
use serde::Serialize;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use thiserror::Error;

/// Frames of a run without a camera named: ten seconds of the built-in one.
const DEMO_FRAMES: u64 = 300;
/// Where a run without a display named leaves its pictures.
const DEMO_FOLDER: &str = "segcam-out";
const DEMO_CAMERA: &str = "synthetic:portrait";

/// An offline segmentation device out of a board, a camera and a screen.
#[derive(Parser, Debug)]
#[command(name = "segcam", version, arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Say more (twice: much more).
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    /// Say only errors.
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Camera to screen, the main job; without arguments a demonstration.
    Run(RunArguments),
    /// Label images, or run the bare network on a bare tensor.
    Infer(InferArguments),
    /// Compare a model's labels with true ones.
    Eval(EvalArguments),
    /// Measure stages and operators.
    Bench(BenchArguments),
    /// Tell about a model: inputs, outputs, operators and how they run.
    Inspect(InspectArguments),
    /// Look for cameras, displays and what is missing.
    Doctor(DoctorArguments),
}

/// Flags that stand in for a model card.
#[derive(Args, Debug, Default)]
struct CardArguments {
    /// A model card in place of the model folder's.
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// Sets one key of the card, such as input.fit=letterbox.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl CardArguments {
    fn of(&self, model: &str) -> ModelArguments {
        let (card, set) = (self.card.clone(), self.set.clone());
        ModelArguments { model: model.to_owned(), card, set }
    }
}

#[derive(Args, Debug, Default)]
struct RunArguments {
    /// A model folder or an ONNX file; the built-in person network if none.
    #[arg(long, default_value = BUILT_IN)]
    model: String,
    /// file:PATH, pipe:-?format=…, synthetic:portrait, synthetic:field.
    #[arg(long, value_name = "URI")]
    camera: Option<String>,
    /// png:DIR, terminal:, window:, null:; may stand more than once.
    #[arg(long, value_name = "URI")]
    display: Vec<String>,
    /// End after so many shown frames.
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// overlay, mask or side-by-side.
    #[arg(long, value_parser = parse_view, default_value = "overlay")]
    view: View,
    /// How much of the mask's colour, 0 to 1.
    #[arg(long, value_parser = parse_alpha, default_value = "0.5")]
    alpha: u8,
    /// Show this class alone.
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// One JSON object a frame, and one for the summary.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    card: CardArguments,
}

#[derive(Args, Debug)]
struct InferArguments {
    /// A model folder, an ONNX file, or "builtin".
    model: String,
    /// Images (PNG or JPEG).
    #[arg(required_unless_present = "tensor")]
    images: Vec<PathBuf>,
    /// A NumPy .npy tensor in place of images.
    #[arg(long, value_name = "IN.npy", conflicts_with = "images")]
    tensor: Option<PathBuf>,
    /// Folder for the pictures, or the .npy file for the tensor (out.npy, out.1.npy …).
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// JSON lines only.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    card: CardArguments,
}

#[derive(Args, Debug)]
struct EvalArguments {
    /// A model folder, an ONNX file, or "builtin".
    model: String,
    /// A folder with images/ and masks/ (8-bit class ids, 255 ignored).
    folder: PathBuf,
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    card: CardArguments,
}

#[derive(Args, Debug)]
struct BenchArguments {
    /// A model folder, an ONNX file, or "builtin".
    model: String,
    /// Threads for the network.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1))]
    threads: u16,
    /// Inferences after one warm-up.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    iterations: u32,
    /// Size of the frame and of the picture, for the stages beside the network.
    #[arg(long, default_value = "1280x720", value_parser = parse_size)]
    frame: (u32, u32),
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    card: CardArguments,
}

#[derive(Args, Debug)]
struct InspectArguments {
    /// A model folder, an ONNX file, or "builtin".
    model: String,
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    card: CardArguments,
}

#[derive(Args, Debug)]
struct DoctorArguments {
    #[arg(long)]
    json: bool,
}

fn parse_view(text: &str) -> Result<View, String> {
    View::from_name(text).ok_or_else(|| {
        let names = View::ALL.map(View::name).join(", ");
        format!("expected one of {names}")
    })
}

fn parse_alpha(text: &str) -> Result<u8, String> {
    let alpha = text.parse::<f32>().ok().filter(|alpha| (0.0..=1.0).contains(alpha));
    alpha.map(|alpha| (alpha * 255.0).round() as u8).ok_or_else(|| "expected 0 to 1".to_owned())
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides
        .filter(|(width, height)| (1..=8192).contains(width) && (1..=8192).contains(height))
        .ok_or_else(|| "expected WIDTHxHEIGHT, such as 1280x720".to_owned())
}

/// Why a command ended without its result, and so its exit code.
#[derive(Debug, Error)]
enum Failure {
    /// Exit code 2.
    #[error("{0}")]
    Configuration(String),
    /// Exit code 1.
    #[error("{0}")]
    Running(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Failure::Configuration(_) => 2,
            Failure::Running(_) => 1,
        }
    }
}

/// What is wrong before anything runs.
impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Failure {
        match error {
            NetworkError::Run(_) | NetworkError::Input { .. } => {
                Failure::Running(error.to_string())
            }
            _ => Failure::Configuration(error.to_string()),
        }
    }
}

impl From<CameraError> for Failure {
    fn from(error: CameraError) -> Failure {
        Failure::Configuration(error.to_string())
    }
}

impl From<DisplayError> for Failure {
    fn from(error: DisplayError) -> Failure {
        Failure::Configuration(error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        Failure::Running(error.to_string())
    }
}

impl From<InferError> for Failure {
    fn from(error: InferError) -> Failure {
        match error {
            InferError::Network(error) => error.into(),
            error => Failure::Running(error.to_string()),
        }
    }
}

/// Results that nobody takes.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Running(format!("standard output: {error}; nothing more can be written"))
    }
}

/// Runs segcam with a process's arguments, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for; everything else is wrong.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    start_log(arguments.verbose, arguments.quiet);
    match execute(arguments.command.unwrap_or_else(|| Command::Run(RunArguments::demo()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "segcam: {}", one_line(&failure.to_string()));
            ExitCode::from(failure.code())
        }
    }
}

/// Names inside files are foreign text: no line breaks, nothing that a terminal obeys.
fn one_line(text: &str) -> String {
    let line: Vec<&str> = text.split(char::is_control).filter(|part| !part.is_empty()).collect();
    line.join(" ")
}

fn start_log(verbose: u8, quiet: bool) {
    let default = match (quiet, verbose) {
        (true, _) => "segcam=error,off",
        (_, 0) => "segcam=warn,off",
        (_, 1) => "segcam=info,warn",
        _ => "segcam=debug,info",
    };
    let environment = env_logger::Env::new().filter_or("SEGCAM_LOG", default);
    env_logger::Builder::from_env(environment)
        .format(|out, record| {
            writeln!(out, "segcam: {}: {}", record.level().as_str().to_lowercase(), one_line(&record.args().to_string()))
        })
        .init();
}

fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => run(arguments),
        Command::Infer(arguments) => infer(arguments),
        Command::Eval(arguments) => {
            let model = model::open(&arguments.card.of(&arguments.model))?;
            let report = evaluate::folder(Arc::new(model), &arguments.folder)
                .map_err(|error| Failure::Running(error.to_string()))?;
            print(&report, arguments.json)
        }
        Command::Bench(arguments) => {
            let model = model::open(&arguments.card.of(&arguments.model))?;
            let report = bench::run(Arc::new(model), arguments.iterations, arguments.frame)
                .map_err(|error| Failure::Running(error.to_string()))?;
            print(&report, arguments.json)
        }
        Command::Inspect(arguments) => inspect(arguments),
        Command::Doctor(arguments) => print(&doctor::examine(), arguments.json),
    }
}

/// A result as text or as one JSON object.
fn print(report: &(impl Serialize + std::fmt::Display), json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(out.flush()?)
}

impl RunArguments {
    fn demo() -> RunArguments {
        let alpha = Settings::default().alpha;
        RunArguments { model: BUILT_IN.to_owned(), alpha, ..RunArguments::default() }
    }

    /// The displays named, or those of the demonstration.
    fn displays(&self) -> Vec<String> {
        if !self.display.is_empty() {
            return self.display.clone();
        }
        let pictures = format!("png:{DEMO_FOLDER}?last=8&every=1");
        let terminal = io::stdout().is_terminal() && !self.json;
        let terminal = terminal.then(|| "terminal:".to_owned());
        terminal.into_iter().chain([pictures]).collect()
    }

    fn settings(&self, model: &Model) -> Result<Settings, Failure> {
        let class = |name: &String| {
            let names: Vec<&str> = model.classes.iter().map(|class| &*class.name).collect();
            let at = names.iter().position(|known| known == name);
            at.map(|at| at as u8).ok_or_else(|| {
                let near = crate::config::nearest(name, &names).unwrap_or_default();
                Failure::Configuration(format!(
                    "--class {name}: {} has no such class; did you mean \"{near}\"? (there are {})",
                    model.name,
                    names.join(", ")
                ))
            })
        };
        let only = self.class.as_ref().map(class).transpose()?;
        Ok(Settings { view: self.view, alpha: self.alpha, only, ..Settings::default() })
    }
}

fn run(arguments: RunArguments) -> Result<(), Failure> {
    let names = arguments.displays();
    let mut displays =
        names.iter().map(|uri| display::open(uri)).collect::<Result<Vec<_>, DisplayError>>()?;
    let model = match model::open(&arguments.card.of(&arguments.model)) {
        Ok(model) => Arc::new(model),
        Err(error) => {
            show_no_model(&mut displays, &error.to_string());
            return Err(error.into());
        }
    };
    let settings = arguments.settings(&model)?;
    let camera = camera::open(arguments.camera.as_deref().unwrap_or(DEMO_CAMERA))?;
    let demo = arguments.camera.is_none().then_some(DEMO_FRAMES);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Failure::Running(format!("signal {signal}: {error}")))?;
    }
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        log::info!("keys: {}", Keys::HELP);
    }
    let mut out = io::stdout();
    let summary = pipeline::run(Job {
        model,
        camera,
        displays,
        settings,
        frames: arguments.frames.or(demo),
        json: if arguments.json { Some(&mut out) } else { None },
        stop,
        snapshots: DEMO_FOLDER.to_owned(),
    })?;
    if arguments.json {
        #[derive(Serialize)]
        struct Last<'a> {
            summary: &'a Summary,
        }
        serde_json::to_writer(&mut out, &Last { summary: &summary }).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    write!(out, "{summary}")?;
    for folder in names.iter().filter_map(|uri| uri.strip_prefix("png:")) {
        let folder = folder.split('?').next().unwrap_or(folder);
        writeln!(out, "pictures   {folder}")?;
    }
    Ok(())
}

/// The screen says why there is nothing to see. What goes wrong with that does not matter more
/// than the model's error, which follows.
fn show_no_model(displays: &mut [Box<dyn Display>], reason: &str) {
    let (status, settings) = (Status::default(), Settings::default());
    let scene = Scene {
        shown: Shown::NoModel { reason },
        classes: &[],
        status: &status,
        settings: &settings,
    };
    for display in displays {
        let screen = display.size();
        let mut compositor = Compositor::default();
        let shown = display.begin(compositor.size(&scene, screen)).and_then(|()| {
            compositor.compose(&scene, screen, &mut |y, row| display.write_row(y, row));
            display.present(0)?;
            display.finish()
        });
        if let Err(error) = shown {
            log::warn!("{error}");
        }
    }
}

fn infer(arguments: InferArguments) -> Result<(), Failure> {
    let named = arguments.card.of(&arguments.model);
    let mut out = io::stdout().lock();
    if let Some(tensor) = &arguments.tensor {
        let Some(output) = &arguments.output else {
            return Err(Failure::Configuration(
                "infer --tensor: -o OUT.npy is missing; name the file for the output".to_owned(),
            ));
        };
        let written = infer::tensor(&named, tensor, output)?;
        for line in written {
            serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        return Ok(());
    }
    let model = Arc::new(model::open(&named)?);
    let folder = arguments.output.unwrap_or_else(|| PathBuf::from("."));
    let mut inferer = infer::Inferer::new(model, folder)?;
    for image in &arguments.images {
        let line = inferer.image(image)?;
        serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
        writeln!(out)?;
    }
    Ok(())
}

fn inspect(arguments: InspectArguments) -> Result<(), Failure> {
    let files = model::read(&arguments.card.of(&arguments.model))?;
    let resolve = |input: &load::OpenInput| model::open_shape(&files.path, input, &files.card);
    let report = inspect::inspect(&files.path, &files.proto, &resolve);
    print(&report, arguments.json)?;
    match report.error {
        Some(error) => Err(Failure::Configuration(error)),
        None => Ok(()),
    }
}
