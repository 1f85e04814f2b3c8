//! `segcam bench`: the stage and operator tables.

use crate::camera::{self, Arrival, CameraError, Wanted};
use crate::compose::{Compositor, Scene, Settings, Shown, Status};
use crate::frame::{Frame, Layout, LayoutError, PixelFormat};
use crate::int8::program::Program;
use crate::network::NetworkError;
use crate::network::inspect::macs;
use crate::network::load::describe;
use crate::network::model::{Model, ModelArguments, open};
use crate::network::ops::region::Region;
use crate::network::plan::OperatorTime;
use crate::segment::{SegmentError, Segmented, Segmenter, Trace};
use allocation_counter::{AllocationInfo, measure};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tract_onnx::prelude::DatumType;

#[derive(Debug, Error)]
pub enum BenchError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error(transparent)]
    Camera(#[from] CameraError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("the built-in camera gave no frame; this is a defect of segcam, please report it")]
    NoFrame,
}

/// Milliseconds of a stage of the way, without the network.
#[derive(Debug, Serialize)]
pub struct StageRow {
    pub stage: &'static str,
    pub min_ms: f64,
    pub median_ms: f64,
    pub p99_ms: f64,
    /// Heap allocations a frame, after the first.
    pub allocations: u64,
}

/// One operator of the plan.
#[derive(Debug, Serialize)]
pub struct OperatorRow {
    pub name: String,
    pub operator: String,
    pub output: String,
    pub macs: u64,
    pub median_ms: f64,
    /// Of the network's time.
    pub percent: f64,
}

/// What `bench` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    pub model: String,
    pub kernels: &'static str,
    pub threads: usize,
    pub iterations: u32,
    /// Of the network alone.
    pub min_ms: f64,
    pub median_ms: f64,
    pub p99_ms: f64,
    pub macs: u64,
    /// Inside tract's executor.
    pub allocations_per_inference: u64,
    /// Activations: the arenas of the integer parts, and the most that tract's executor has
    /// allocated at a time in one inference.
    pub arena_bytes: u64,
    /// The heap that the loaded network holds: weights, packed as the kernels want them, and
    /// the plan.
    pub weight_bytes: u64,
    /// What the integer operators need beside, for all threads.
    pub scratch_bytes: u64,
    pub peak_rss_bytes: u64,
    /// Width and height of the frame and the picture.
    pub frame: (u32, u32),
    pub stages: Vec<StageRow>,
    /// Median of the stages beside the network over the median of copying the frame and the
    /// picture once, measured in turns.
    pub beside_network_per_copy: f64,
    pub operators: Vec<OperatorRow>,
}

/// Bytes of a page of memory.
const PAGE: usize = 4096;

#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn row(&mut self, stage: &'static str, allocations: u64) -> StageRow {
        let [min_ms, median_ms, p99_ms] = self.quantiles();
        StageRow { stage, min_ms, median_ms, p99_ms, allocations }
    }

    /// Minimum, median and 99th percentile in milliseconds.
    fn quantiles(&mut self) -> [f64; 3] {
        self.0.sort();
        let last = self.0.len().saturating_sub(1);
        [0, last / 2, last * 99 / 100].map(|at| self.0.get(at).map_or(0.0, milliseconds))
    }
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Makes one warm-up inference, then exactly `iterations`, each from a YUYV frame of the given
/// size to a composed picture.
pub fn run(
    arguments: &ModelArguments,
    iterations: u32,
    frame_size: (u32, u32),
) -> Result<Report, BenchError> {
    // First, so that the camera's memory is free again for the model.
    let frame = frame(frame_size)?;
    let mut opened = None;
    let loading = measure(|| opened = Some(open(arguments)));
    let model = Arc::new(opened.unwrap_or_else(|| open(arguments))?);
    let weight_bytes = u64::try_from(loading.bytes_current).unwrap_or(0);
    let mut segmenter = Segmenter::new(Arc::clone(&model))?;
    let mut segmented = Segmented::new(frame);
    let mut compositor = Compositor::default();
    let (status, settings) = (Status::default(), Settings::default());
    let picture_bytes = 4 * frame_size.0 as usize * frame_size.1 as usize;
    // From a page on, as mapped frame buffers are.
    let mut picture = vec![0u8; picture_bytes + PAGE];
    let start = picture.as_ptr().align_offset(PAGE).min(PAGE);
    let picture = &mut picture[start..][..picture_bytes];
    let mut operators: Vec<Vec<OperatorTime>> = Vec::new();
    let [mut prepare, mut network, mut decode, mut compose, mut beside, mut copies]: [Times; 6] =
        Default::default();
    let (mut segment_allocations, mut compose_allocations) = (0, 0);
    let mut executor = AllocationInfo::default();
    for iteration in 0..=iterations {
        // Room for tiles, too, so that it does not grow while it is measured.
        let operators_of_one = Vec::with_capacity(4096);
        segmenter.trace = Some(Trace { operators: operators_of_one, ..Trace::default() });
        let mut result = None;
        let heap = measure(|| result = Some(segmented.segment(&mut segmenter)));
        let Some(Ok(())) = result else {
            return Err(result.and_then(Result::err).map_or(BenchError::NoFrame, BenchError::from));
        };
        let start = Instant::now();
        let composing = measure(|| {
            let shown = Shown::result(&segmented, Duration::MAX);
            let scene =
                Scene { shown, classes: &model.classes, status: &status, settings: &settings };
            compositor.compose(&scene, None, &mut |y, row| {
                let start = row.len() * y as usize;
                picture[start..start + row.len()].copy_from_slice(row);
            });
        });
        let composed = start.elapsed();
        black_box(&*picture);
        let start = Instant::now();
        copy_once(&segmented.frame().data, picture);
        let copied = start.elapsed();
        if iteration == 0 {
            continue;
        }
        let times = *segmented.times();
        let mut trace = segmenter.trace.take().unwrap_or_default();
        trace.operators.shrink_to_fit();
        executor = trace.executor;
        segment_allocations = heap.count_total.saturating_sub(executor.count_total);
        compose_allocations = composing.count_total;
        prepare.0.push(times.prepare);
        network.0.push(times.network);
        decode.0.push(times.decode);
        compose.0.push(composed);
        beside.0.push(times.prepare + times.decode + composed);
        copies.0.push(copied);
        operators.push(trace.operators);
    }
    let [min_ms, median_ms, p99_ms] = network.quantiles();
    let operators = operator_rows(&model, &operators, median_ms);
    let sum =
        |bytes: fn(&Program) -> usize| model.network.programs().map(bytes).sum::<usize>() as u64;
    let stages = vec![
        prepare.row("prepare", segment_allocations),
        network.row("network", executor.count_total),
        decode.row("decode", 0),
        compose.row("compose", compose_allocations),
        copies.row("(copy of frame and picture)", 0),
    ];
    Ok(Report {
        model: model.name.clone(),
        kernels: model.kernels(),
        threads: arguments.threads,
        iterations,
        min_ms,
        median_ms,
        p99_ms,
        macs: operators.iter().map(|operator| operator.macs).sum(),
        allocations_per_inference: executor.count_total,
        arena_bytes: executor.bytes_max + sum(|program| program.arena_bytes),
        weight_bytes,
        scratch_bytes: arguments.threads as u64 * sum(|program| program.scratch_bytes),
        peak_rss_bytes: peak_rss(),
        frame: frame_size,
        stages,
        beside_network_per_copy: beside.quantiles()[1] / copies.quantiles()[1].max(1e-9),
        operators,
    })
}

/// Copies as many bytes as the frame and the picture have, within the picture's own memory.
fn copy_once(frame: &[u8], picture: &mut [u8]) {
    for part in frame.chunks(picture.len().max(1)) {
        picture[..part.len()].copy_from_slice(black_box(part));
    }
    let (above, below) = picture.split_at_mut(picture.len() / 2);
    let half = above.len();
    below[..half].copy_from_slice(black_box(above));
    above.copy_from_slice(black_box(&below[..half]));
    black_box(picture);
}

/// A YUYV frame of the built-in camera.
fn frame((width, height): (u32, u32)) -> Result<Frame, BenchError> {
    let uri = format!("synthetic:portrait?format=yuyv&width={width}&height={height}&fps=0");
    let mut camera = camera::open(&uri, Wanted::default())?;
    let mut frame = Frame::new(Layout::packed(PixelFormat::Yuyv, width, height)?);
    match camera.read(&mut frame, Duration::from_secs(1))? {
        Arrival::Frame => Ok(frame),
        _ => Err(BenchError::NoFrame),
    }
}

fn operator_rows(model: &Model, runs: &[Vec<OperatorTime>], network_ms: f64) -> Vec<OperatorRow> {
    let plan = &model.network.plan;
    let mut times: HashMap<(usize, Option<usize>), Times> = HashMap::new();
    for operator in runs.iter().flatten() {
        times.entry((operator.node, operator.step)).or_default().0.push(operator.time);
    }
    let mut rows: Vec<OperatorRow> = Vec::new();
    let mut known = 0.0;
    for id in plan.order_without_consts() {
        let node = plan.model().node(*id);
        let region = node.op_as::<Region>();
        let steps = region.map_or(&[][..], |region| &region.program.steps);
        let mut row = |step: Option<usize>, name: &str, operator: &str, output, macs: u64| {
            let Some(times) = times.get_mut(&(*id, step)) else { return };
            // Tiles run the network more than once a frame.
            let per_frame = times.0.len() as f64 / runs.len().max(1) as f64;
            let median_ms = times.quantiles()[1] * per_frame;
            known += median_ms;
            rows.push(OperatorRow {
                name: name.to_owned(),
                operator: operator.to_owned(),
                output,
                macs: (macs as f64 * per_frame) as u64,
                median_ms,
                percent: 100.0 * median_ms / network_ms.max(1e-9),
            });
        };
        for (index, step) in steps.iter().enumerate() {
            let place = step.output.as_ref().or(step.inputs.first());
            let output = place.map(|place| describe(DatumType::I8, &place.dims));
            let operator = format!("int8 {}", step.algorithm());
            row(Some(index), &step.name, &operator, output.unwrap_or_default(), step.macs);
        }
        let output = node.outputs.first().and_then(|output| {
            Some(describe(output.fact.datum_type, output.fact.shape.as_concrete()?))
        });
        let name = if region.is_some() { "(between the steps)" } else { &node.name };
        row(None, name, &node.op.name(), output.unwrap_or_default(), macs(plan.model(), node));
    }
    let left = (network_ms - known).max(0.0);
    rows.push(OperatorRow {
        name: "(left over)".to_owned(),
        operator: "executor".to_owned(),
        output: String::new(),
        macs: 0,
        median_ms: left,
        percent: 100.0 * left / network_ms.max(1e-9),
    });
    rows
}

/// The most memory this process ever had in use, in bytes (VmHWM of proc(5)); 0 when the
/// kernel does not tell.
pub fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes << 10)
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let million = |value: u64| value as f64 / 1e6;
        writeln!(f, "{}: {}, {} thread", self.model, self.kernels, self.threads)?;
        writeln!(
            f,
            "network    {:.2} ms min, {:.2} median, {:.2} p99 over {} iterations; {:.1} million MACs, {:.2} GMAC/s",
            self.min_ms,
            self.median_ms,
            self.p99_ms,
            self.iterations,
            million(self.macs),
            million(self.macs) / self.median_ms.max(1e-9)
        )?;
        writeln!(
            f,
            "memory     {:.1} MB weights, {:.1} MB activations, {:.1} MB scratch, {:.1} MB peak of the process",
            million(self.weight_bytes),
            million(self.arena_bytes),
            million(self.scratch_bytes),
            million(self.peak_rss_bytes)
        )?;
        let (width, height) = self.frame;
        writeln!(f, "\nstages of a {width}x{height} YUYV frame to a {width}x{height} picture")?;
        writeln!(
            f,
            "{:28} {:>9} {:>9} {:>9} {:>12}",
            "stage", "min ms", "median", "p99", "allocations"
        )?;
        for row in &self.stages {
            writeln!(
                f,
                "{:28} {:>9.3} {:>9.3} {:>9.3} {:>12}",
                row.stage, row.min_ms, row.median_ms, row.p99_ms, row.allocations
            )?;
        }
        writeln!(
            f,
            "all beside the network: {:.2} times copying the frame and the picture once\n",
            self.beside_network_per_copy
        )?;
        let name = self.operators.iter().map(|row| row.name.len()).max().unwrap_or(4).clamp(4, 40);
        writeln!(
            f,
            "{:name$} {:20} {:24} {:>10} {:>9} {:>8} {:>6}",
            "operator", "kind", "output", "kMACs", "ms", "GMAC/s", "%"
        )?;
        for row in &self.operators {
            let end = row.name.char_indices().nth(name).map_or(row.name.len(), |(at, _)| at);
            writeln!(
                f,
                "{:name$} {:20} {:24} {:>10.1} {:>9.3} {:>8.2} {:>6.2}",
                &row.name[..end],
                row.operator,
                row.output,
                row.macs as f64 / 1e3,
                row.median_ms,
                million(row.macs) / row.median_ms.max(1e-9),
                row.percent
            )?;
        }
        Ok(())
    }
}
