//! One frame through prepare, network and decode.

mod segmented;

pub use segmented::{Mask, Segmented};

use crate::config::card::Fit;
use crate::decode::{
    DecodeError, Decoder, Elements, LabelMap, Mapping, Scores, TileError, TilePlan, Tiling,
};
use crate::frame::{Frame, Layout, PixelFormat};
use crate::network::NetworkError;
use crate::network::model::{Model, OutputSpec};
use crate::network::plan::{OperatorTime, Session};
use crate::prepare::{Element, Placement, Prepare, PrepareError, Rect, Samples};
use allocation_counter::{AllocationInfo, measure};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tract_onnx::prelude::{DatumType, Tensor};

#[derive(Debug, Error)]
pub enum SegmentError {
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Tile(#[from] TileError),
    #[error("the network's scores are not numbers (NaN); check its weights, or export it again")]
    NotANumber,
}

/// The picture that a network is tried with.
const GREY: u8 = 128;

/// Takes the scores of a part of a frame, and where they belong.
pub type Part<'a> =
    dyn FnMut(&mut Decoder, &Scores, &Mapping, &mut StepTimes) -> Result<(), SegmentError> + 'a;

/// What each step took, all tiles together.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepTimes {
    pub prepare: Duration,
    pub network: Duration,
    pub decode: Duration,
}

/// A model at work. Belongs to one thread; allocates nothing after the first frame of a size
/// beside what tract's executor does.
pub struct Segmenter {
    model: Arc<Model>,
    session: Session,
    prepare: Prepare,
    decoder: Decoder,
    /// The part of the input that the output covers.
    window: Rect,
    tiles: Option<(u32, u32, TilePlan)>,
    /// Filled while it is some.
    pub trace: Option<Trace>,
}

/// What happened inside the network, for `bench`.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub operators: Vec<OperatorTime>,
    /// Heap use of tract's executor.
    pub executor: AllocationInfo,
}

impl Segmenter {
    pub fn new(model: Arc<Model>) -> Result<Segmenter, SegmentError> {
        let session = Session::new(&model.network)?;
        let prepare = Prepare::new(model.input);
        let output = &model.output;
        let decoder = Decoder::new(output.kind, output.threshold, model.classes.len());
        let window = window(&model);
        Ok(Segmenter { model, session, prepare, decoder, window, tiles: None, trace: None })
    }

    /// As `new`, after it labelled a grey picture: a network that cannot run fails here. Also what
    /// the inference took.
    pub fn checked(model: Arc<Model>) -> Result<(Segmenter, Duration), SegmentError> {
        let mut segmenter = Segmenter::new(model)?;
        let input = segmenter.model.input;
        let layout = Layout::packed(PixelFormat::Rgb, input.width, input.height)
            .map_err(|error| NetworkError::Run(error.to_string()))?;
        let mut frame = Frame::new(layout);
        frame.data.fill(GREY);
        let times = segmenter.segment(&frame, &mut LabelMap::default())?;
        Ok((segmenter, times.network))
    }

    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Labels every pixel of `frame` that the network sees.
    pub fn segment(
        &mut self,
        frame: &Frame,
        labels: &mut LabelMap,
    ) -> Result<StepTimes, SegmentError> {
        let mut times = StepTimes::default();
        labels.reset(frame.width(), frame.height());
        self.each_part(frame, &mut times, &mut |decoder, scores, mapping, times| {
            let start = Instant::now();
            decoder.decode(scores, mapping, labels)?;
            times.decode += start.elapsed();
            Ok(())
        })?;
        Ok(times)
    }

    /// Hands out the scores of each part of the frame: the whole, or tile by tile.
    pub fn each_part(
        &mut self,
        frame: &Frame,
        times: &mut StepTimes,
        part: &mut Part,
    ) -> Result<(), SegmentError> {
        let (width, height) = (frame.width(), frame.height());
        if self.model.card.input.fit == Fit::Tile {
            let plan = self.tile_plan(width, height)?;
            for mapping in plan.tiles() {
                self.part(frame, &mapping, times, part)?;
            }
            return Ok(());
        }
        let placement = self.prepare.place(width, height, self.model.card.input.fit);
        let mapping = Mapping { window: self.window, ..Mapping::whole(placement, width, height) };
        self.part(frame, &mapping, times, part)
    }

    fn part(
        &mut self,
        frame: &Frame,
        mapping: &Mapping,
        times: &mut StepTimes,
        part: &mut Part,
    ) -> Result<(), SegmentError> {
        let start = Instant::now();
        self.fill_input(frame, &mapping.placement)?;
        let prepared = Instant::now();
        let outputs = match &mut self.trace {
            Some(trace) => {
                let mut outputs = None;
                let heap = measure(|| outputs = Some(self.session.run_timed(&mut trace.operators)));
                trace.executor += heap;
                outputs.unwrap_or_else(|| self.session.run())?
            }
            None => self.session.run()?,
        };
        times.prepare += prepared - start;
        times.network += prepared.elapsed();
        let scores = scores(&outputs[self.model.output.index], &self.model.output)?;
        part(&mut self.decoder, &scores, mapping, times)
    }

    fn fill_input(&mut self, frame: &Frame, placement: &Placement) -> Result<(), SegmentError> {
        let run = |error: tract_onnx::prelude::TractError| NetworkError::Run(error.to_string());
        let tensor = self.session.input(0);
        let mut plain = tensor.try_as_plain_ram_mut().map_err(run)?;
        let samples = match self.model.input.element {
            Element::U8 => Samples::U8(plain.as_slice_mut().map_err(run)?),
            Element::I8 => Samples::I8(plain.as_slice_mut().map_err(run)?),
            Element::F32 => Samples::F32(plain.as_slice_mut().map_err(run)?),
        };
        Ok(self.prepare.run(frame, placement, samples)?)
    }

    fn tile_plan(&mut self, width: u32, height: u32) -> Result<TilePlan, SegmentError> {
        if let Some((known_width, known_height, plan)) = self.tiles
            && (known_width, known_height) == (width, height)
        {
            return Ok(plan);
        }
        let model = &self.model;
        let input = [model.input.height, model.input.width];
        let output = [model.output.height as u32, model.output.width as u32];
        let stride = model.receptive.stride;
        let overlap = model.card.input.overlap.unwrap_or_else(|| overlap(model));
        let tiling = Tiling { input, output, window: self.window, overlap, stride };
        let plan = TilePlan::new(width, height, tiling)?;
        self.tiles = Some((width, height, plan));
        Ok(plan)
    }
}

/// The radius of the receptive field, but no more than leaves half of the tile to use.
fn overlap(model: &Model) -> u32 {
    let most = model.input.height.min(model.input.width) / 4;
    match model.receptive.radius {
        Some(radius) if radius <= most => radius,
        radius => {
            let seen = radius.map_or("everything".to_owned(), |radius| format!("{radius} pixels"));
            log::warn!(
                "{}: an output pixel sees {seen} to each side, tiles overlap by {most}: faint seams can show; set input.overlap or a larger input.size for fewer",
                model.name
            );
            most
        }
    }
}

/// Where unpadded convolutions make the output smaller than the input, it covers the middle.
fn window(model: &Model) -> Rect {
    let along = |input: u32, output: usize| {
        let step = model.receptive.step;
        let covered = (output as u64 * u64::from(step)).min(u64::from(input)) as u32;
        // Less than two steps are what rounding in strided layers leaves.
        let margin = input - covered;
        if margin < 2 * step { (0, input) } else { ((margin / 2) as i32, covered) }
    };
    let (y, height) = along(model.input.height, model.output.height);
    let (x, width) = along(model.input.width, model.output.width);
    Rect { x, y, width, height }
}

/// An output tensor as the decoder takes it.
pub(crate) fn scores<'a>(
    tensor: &'a Tensor,
    spec: &OutputSpec,
) -> Result<Scores<'a>, SegmentError> {
    fn read<'a, T: tract_onnx::prelude::Datum>(
        tensor: &'a Tensor,
        wrap: fn(&'a [T]) -> Elements<'a>,
    ) -> Result<Elements<'a>, SegmentError> {
        let run = |error: tract_onnx::prelude::TractError| NetworkError::Run(error.to_string());
        Ok(wrap(tensor.try_as_plain_ram().map_err(run)?.as_slice::<T>().map_err(run)?))
    }
    let elements = match tensor.datum_type() {
        DatumType::F32 => read(tensor, Elements::F32)?,
        DatumType::U8 => read(tensor, Elements::U8)?,
        DatumType::I8 => read(tensor, Elements::I8)?,
        DatumType::I32 => read(tensor, Elements::I32)?,
        DatumType::I64 => read(tensor, Elements::I64)?,
        other => return Err(NetworkError::Run(format!("an output of {other:?}")).into()),
    };
    if let Elements::F32(values) = elements
        && values.iter().fold(false, |found, value| found | value.is_nan())
    {
        return Err(SegmentError::NotANumber);
    }
    Ok(Scores::new(elements, spec.axes, [spec.channels, spec.height, spec.width])?)
}
