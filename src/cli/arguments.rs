//! The arguments as clap takes them.

use crate::compose::View;
use crate::network::model::ModelArguments;
use crate::quantize::Method;
use clap::{ArgAction, Args, Parser, Subcommand};
use std::path::PathBuf;

/// An offline segmentation device out of a board, a camera and a screen.
#[derive(Parser, Debug)]
#[command(name = "segcam", version, arg_required_else_help = false)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Say more (twice: much more).
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say only errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

#[derive(Subcommand, Debug)]
pub enum Command {
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
    /// Make an int8 network of a float one.
    Quantize(QuantizeArguments),
    /// Prove that a recording's masks are what its model makes of its frames.
    Verify(VerifyArguments),
    /// Read a journal, and tell whether a line of it was changed.
    Log(LogArguments),
    /// Look for cameras, displays and what is missing.
    Doctor(DoctorArguments),
}

/// Threads that a network splits its rows over where nobody says.
const MOST_THREADS: usize = 4;

/// Flags that stand in for a model card.
#[derive(Args, Debug, Default)]
pub struct CardArguments {
    /// A model card in place of the model folder's.
    #[arg(long, value_name = "FILE")]
    pub card: Option<PathBuf>,
    /// Sets one key of the card, such as input.fit=letterbox.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl CardArguments {
    pub fn of(&self, model: &str) -> ModelArguments {
        let (card, set) = (self.card.clone(), self.set.clone());
        let threads =
            std::thread::available_parallelism().map_or(1, |count| count.get().min(MOST_THREADS));
        ModelArguments { model: model.to_owned(), card, set, threads, memory: None, labels: true }
    }
}

#[derive(Args, Debug, Default)]
pub struct RunArguments {
    /// A board's name or file, which says what is used unless a flag does; the board that the
    /// kernel's device tree tells if none.
    #[arg(long, value_name = "NAME|FILE")]
    pub board: Option<String>,
    /// A model folder or an ONNX file; the board's, or the built-in person network, if none.
    #[arg(long)]
    pub model: Option<String>,
    /// v4l2:/dev/videoN, file:PATH, pipe:-?format=…, replay:DIR, synthetic:portrait,
    /// synthetic:field.
    #[arg(long, value_name = "URI")]
    pub camera: Option<String>,
    /// drm:, fbdev:, spi:PANEL, png:DIR, terminal:, window:, null:; may stand more than once.
    #[arg(long, value_name = "URI")]
    pub display: Vec<String>,
    /// How old a mask may be on the screen, in milliseconds; the board's limit, or 500, if none.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub stale_after: Option<u64>,
    /// End after so many shown frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// Records what is shown, frames and masks, into a folder.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Megabytes of recordings in that folder; then the oldest are deleted [default: 1000].
    #[arg(long, value_name = "MB", requires = "record", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub record_limit: Option<u64>,
    /// Keeps a journal of what happens in a folder.
    #[arg(long, value_name = "DIR")]
    pub log: Option<PathBuf>,
    /// Keeps current figures in a file, in Prometheus' text format.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Run as a device does: what is wrong in the configuration stays on the screen, and the
    /// board's watchdog is fed.
    #[arg(long)]
    pub stay: bool,
    /// overlay, mask or side-by-side.
    #[arg(long, value_parser = parse_view, default_value = "overlay")]
    pub view: View,
    /// How much of the mask's colour, 0 to 1.
    #[arg(long, value_parser = parse_alpha, default_value = "0.5")]
    pub alpha: u8,
    /// Show this class alone.
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// One JSON object a frame, and one for the summary.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub card: CardArguments,
}

#[derive(Args, Debug)]
pub struct InferArguments {
    /// A model folder, an ONNX file, or "builtin".
    pub model: String,
    /// Images (PNG or JPEG).
    #[arg(required_unless_present = "tensor")]
    pub images: Vec<PathBuf>,
    /// A NumPy .npy tensor in place of images; once for each input of the network, in order.
    #[arg(long, value_name = "IN.npy", conflicts_with = "images")]
    pub tensor: Vec<PathBuf>,
    /// Folder for the pictures, or the .npy file for the tensor (out.npy, out.1.npy …).
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Taken for the sake of scripts: results are lines of JSON anyway.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub card: CardArguments,
}

#[derive(Args, Debug)]
pub struct EvalArguments {
    /// A model folder, an ONNX file, or "builtin".
    pub model: String,
    /// A folder with images/ and masks/ (8-bit class ids, 255 ignored); of images alone for
    /// --compare.
    pub folder: PathBuf,
    /// Another network, named as the first; --card and --set hold for it, too, when it is an
    /// ONNX file.
    #[arg(long, value_name = "OTHER")]
    pub compare: Option<String>,
    /// Folder for pictures: confusion.png, and with --compare NAME.differ.png of each image.
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub card: CardArguments,
}

#[derive(Args, Debug)]
pub struct BenchArguments {
    /// A model folder, an ONNX file, or "builtin".
    pub model: String,
    /// Threads for the integer operators.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub threads: u16,
    /// Inferences after one warm-up.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub iterations: u32,
    /// Size of the frame and of the picture, for the stages beside the network.
    #[arg(long, default_value = "1280x720", value_parser = parse_size)]
    pub frame: (u32, u32),
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub card: CardArguments,
}

#[derive(Args, Debug)]
pub struct InspectArguments {
    /// A model folder, an ONNX file, or "builtin".
    pub model: String,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub card: CardArguments,
}

#[derive(Args, Debug)]
pub struct VerifyArguments {
    /// The folder of a recording.
    pub folder: PathBuf,
    /// The model it was made with, a folder or an ONNX file, unless that is the built-in one; may
    /// stand more than once.
    #[arg(long)]
    pub model: Vec<String>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct LogArguments {
    /// The folder that `run --log` was given.
    pub folder: PathBuf,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct QuantizeArguments {
    /// A float network: an ONNX file or a model folder.
    pub model: String,
    /// A folder with pictures (PNG, JPEG) of what the camera will see; 16 to 100 of them.
    #[arg(long, value_name = "DIR")]
    pub calibrate: PathBuf,
    /// The ONNX file to write, or a model folder.
    #[arg(short, long, value_name = "OUT.onnx")]
    pub output: PathBuf,
    /// How tensors' ranges are found: minmax, percentile or mse; what agrees best if none.
    #[arg(long, value_name = "METHOD", value_parser = parse_method)]
    pub range: Option<Method>,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub card: CardArguments,
}

#[derive(Args, Debug)]
pub struct DoctorArguments {
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

fn parse_view(text: &str) -> Result<View, String> {
    View::from_name(text).ok_or_else(|| {
        let names = View::ALL.map(View::name).join(", ");
        format!("expected one of {names}")
    })
}

fn parse_method(text: &str) -> Result<Method, String> {
    Method::from_name(text).ok_or_else(|| "expected minmax, percentile or mse".to_owned())
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
