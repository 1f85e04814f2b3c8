//! The command line: raw arguments -> a checked command -> an exit code.
//!
//! Exit codes: 0 done, 1 failed while running, 2 wrong arguments or configuration, 3 a part of the
//! program did not answer any more. Results go to standard output, diagnostics to standard error.

mod arguments;
mod device;
mod log;
mod needs;
mod ready;
mod reload;
mod run;

use crate::bench::{self, BenchError};
use crate::camera::CameraError;
use crate::display::DisplayError;
use crate::doctor;
use crate::evaluate::{self, FolderError};
use crate::infer::{self, InferError};
use crate::journal;
use crate::network::{NetworkError, inspect, load, model, specs};
use crate::pipeline::RunError;
use crate::quantize::{self, QuantizeError};
use crate::record::verify::{VerifyError, verify};
use arguments::{
    Arguments, CardArguments, Command, EvalArguments, InferArguments, InspectArguments,
    QuantizeArguments, RunArguments, VerifyArguments,
};
use clap::Parser;
use log::HeldLog;
use serde::Serialize;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use thiserror::Error;

/// Why a command ended without its result, and so its exit code.
#[derive(Debug, Error)]
enum Failure {
    /// Exit code 2.
    #[error("{0}")]
    Configuration(String),
    /// Exit code 1.
    #[error("{0}")]
    Running(String),
    /// Exit code 3.
    #[error("{0}")]
    Stalled(String),
}

impl Failure {
    const STALLED: u8 = 3;

    fn text(&self) -> &str {
        let (Failure::Configuration(text) | Failure::Running(text) | Failure::Stalled(text)) = self;
        text
    }

    fn code(&self) -> u8 {
        match self {
            Failure::Configuration(_) => 2,
            Failure::Running(_) => 1,
            Failure::Stalled(_) => Failure::STALLED,
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
        match error {
            RunError::Stalled(_) => Failure::Stalled(error.to_string()),
            error => Failure::Running(error.to_string()),
        }
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

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Failure {
        match error {
            BenchError::Network(error) => error.into(),
            error => Failure::Running(error.to_string()),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Failure {
        match error {
            VerifyError::Network(error) => error.into(),
            VerifyError::Read { .. } | VerifyError::Segment { .. } => {
                Failure::Running(error.to_string())
            }
            error => Failure::Configuration(error.to_string()),
        }
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Failure {
        match error {
            FolderError::Classes { .. } => Failure::Configuration(error.to_string()),
            error => Failure::Running(error.to_string()),
        }
    }
}

impl From<QuantizeError> for Failure {
    fn from(error: QuantizeError) -> Failure {
        match error {
            QuantizeError::Network(error) => error.into(),
            QuantizeError::Refused(message) => Failure::Configuration(message),
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
    let log = log::start(arguments.verbose, arguments.quiet);
    let command = arguments.command.unwrap_or_else(|| Command::Run(RunArguments::demo()));
    match execute(command, &log) {
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

fn execute(command: Command, log: &HeldLog) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => run::run(&arguments, log),
        Command::Infer(arguments) => infer(arguments),
        Command::Eval(arguments) => eval(&arguments),
        Command::Bench(arguments) => {
            let named = arguments.card.of(&arguments.model);
            let named = model::ModelArguments { threads: arguments.threads.into(), ..named };
            let report = bench::run(&named, arguments.iterations, arguments.frame)?;
            print(&report, arguments.json)
        }
        Command::Inspect(arguments) => inspect(arguments),
        Command::Quantize(arguments) => quantize(&arguments),
        Command::Verify(arguments) => prove(&arguments),
        Command::Log(arguments) => {
            let report = journal::read(&arguments.folder)
                .map_err(|error| Failure::Configuration(error.to_string()))?;
            print(&report, arguments.json)?;
            report.broken.map_or(Ok(()), |broken| Err(Failure::Running(broken)))
        }
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

fn infer(arguments: InferArguments) -> Result<(), Failure> {
    let named = arguments.card.of(&arguments.model);
    let mut out = io::stdout().lock();
    if !arguments.tensor.is_empty() {
        let Some(output) = &arguments.output else {
            return Err(Failure::Configuration(
                "infer --tensor: -o OUT.npy is missing; name the file for the output".to_owned(),
            ));
        };
        let written = infer::tensors(&named, &arguments.tensor, output)?;
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

fn eval(arguments: &EvalArguments) -> Result<(), Failure> {
    // The losses need the scores as they are.
    let open = |card: &CardArguments, model: &str| {
        model::open(&model::ModelArguments { labels: false, ..card.of(model) }).map(Arc::new)
    };
    let model = open(&arguments.card, &arguments.model)?;
    let other = arguments.compare.as_ref().map(|other| {
        // A model folder and the built-in network have their own card.
        let own = CardArguments::default();
        open(if Path::new(other).is_file() { &arguments.card } else { &own }, other)
    });
    let pictures = arguments.output.as_deref();
    let job =
        evaluate::Job { model, other: other.transpose()?, folder: &arguments.folder, pictures };
    print(&evaluate::folder(job)?, arguments.json)
}

fn quantize(arguments: &QuantizeArguments) -> Result<(), Failure> {
    let named = arguments.card.of(&arguments.model);
    let report = quantize::to_file(
        &named,
        &arguments.calibrate,
        arguments.range,
        &arguments.output,
        &mut log::progress(),
    )?;
    print(&report, arguments.json)
}

fn inspect(arguments: InspectArguments) -> Result<(), Failure> {
    let files = model::read(&arguments.card.of(&arguments.model))?;
    let resolve = |input: &load::OpenInput| specs::open_shape(&files.path, input, &files.card);
    let report = inspect::inspect(&files.path, &files.proto, &resolve);
    print(&report, arguments.json)?;
    match report.error {
        Some(error) => Err(Failure::Configuration(error)),
        None => Ok(()),
    }
}

fn prove(arguments: &VerifyArguments) -> Result<(), Failure> {
    let named = arguments.model.iter().map(|model| CardArguments::default().of(model));
    let report = verify(&arguments.folder, &named.collect::<Vec<_>>())?;
    print(&report, arguments.json)?;
    match report.first_wrong {
        Some(wrong) => Err(Failure::Running(wrong)),
        None => Ok(()),
    }
}
