//! Lowering steps, look-ups and mappings: every reference to an earlier answer resolved. A continuation of `compile.rs`.

use super::{
    arguments::Arguments,
    compile::{Compiler, Scene, Target, list},
    fill::Fill,
    hints::{self, Hints},
    interaction::At,
    plan::{Lookup, Step, Steps},
    resolve::Names,
    risk::{Assessed, shapes::Shapes},
    tool::verdict,
};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    jsonpath::JsonPath,
    spec::{self, Mapping, OutputParameter, Spanned, StepKind},
};
use indexmap::IndexMap;

/// Steps as they are written.
#[derive(Clone, Copy)]
pub(super) struct WrittenSteps<'a, 's> {
    pub(super) steps: &'a [spec::Step],
    pub(super) mappings: &'a [Mapping],
    /// The hints of the tool they are for.
    pub(super) stated: &'s spec::Hints,
}

impl Compiler<'_> {
    /// The steps of a tool or flow, and what a client may assume about all of them together.
    pub(super) fn steps<'a: 'n, 'n>(
        &mut self,
        written: WrittenSteps<'a, '_>,
        mut names: Names<'n>,
        arguments: &mut Arguments,
        scene: &mut Scene<'a>,
    ) -> Option<(Steps, (Hints, Assessed))> {
        let WrittenSteps { steps, mappings, stated } = written;
        let mut compiled = IndexMap::new();
        let mut hints: Option<(Hints, Assessed)> = None;
        let mut sound = true;
        for step in steps {
            match self.step(step, &names, arguments, scene) {
                Some((target, lowered)) => {
                    let fills = match &lowered {
                        Step::Call(operation) => operation.request.fills(),
                        Step::Lookup(lookup) => vec![&lookup.index, &lookup.value],
                        Step::Interaction(interaction) => interaction.fills(),
                    };
                    self.check_cut(&fills, step.name.span, &compiled, steps);
                    let of_step = match (target, &lowered) {
                        (Some(target), Step::Call(operation)) => {
                            let said = target.operation.description.as_ref().map_or("", |text| text.value.as_str());
                            let shown = (&Shapes::default(), said);
                            let verdict = verdict((target, None), &operation.request, arguments, shown);
                            Some(self.hints(stated, (target, None), verdict))
                        }
                        _ => None,
                    };
                    hints = match (hints, of_step) {
                        (Some((known, risk)), Some((more, other))) => Some((known.careful(more), risk.worse(other))),
                        (known, more) => known.or(more),
                    };
                    compiled.insert(step.name.value.clone(), lowered);
                }
                None => sound = false,
            }
            names.steps.push(&step.name.value);
        }
        let mut lowered = Vec::new();
        for mapping in mappings {
            if let Some((target, fill)) = self.mapping(mapping, &names, arguments) {
                self.check_cut(&[&fill], mapping.value.span, &compiled, steps);
                lowered.push((target, fill));
            }
        }
        let mappings = lowered;
        if steps.is_empty() {
            sound = false;
        }
        let hints = hints.unwrap_or_else(|| hints::of_fixed_values(stated));
        sound.then_some((Steps { steps: compiled, mappings }, hints))
    }

    /// Reports what is taken from an earlier step that its `outputParameters` leave out.
    fn check_cut(&mut self, fills: &[&Fill], place: Span, before: &IndexMap<String, Step>, written: &[spec::Step]) {
        let mut missed = Vec::new();
        for fill in fills {
            fill.visit(&mut |fill| {
                if let Fill::Answer(path) = fill {
                    missed.extend(cut_member(path, before).map(|found| (path.as_str(), found)));
                }
            });
        }
        for (path, (step, member, kept)) in missed {
            let message =
                format!("`{path}` finds nothing: the step `{step}` gives {} alone", list(kept.iter().copied()));
            let problem = Diagnostic::warning(Code::UnknownField, place, message).with_nearest(member, kept);
            let cut = written.iter().find(|written| written.name.value == step);
            self.problems.push(match cut {
                Some(cut) => problem.with_secondary(cut.name.span, "the step"),
                None => problem,
            });
        }
    }

    fn step<'a: 'n, 'n>(
        &mut self,
        step: &'a spec::Step,
        names: &Names<'n>,
        arguments: &mut Arguments,
        scene: &mut Scene<'a>,
    ) -> Option<(Option<Target<'a>>, Step)> {
        match &step.kind {
            StepKind::Call { call, with } => {
                let target = self.target(scene, call)?;
                let mut names: Names<'n> = names.clone();
                self.with(with, &[], &mut names, target);
                let operation = self.operation(target, names, arguments)?;
                Some((Some(target), Step::Call(Box::new(operation))))
            }
            StepKind::Lookup { index, matched, value, outputs } => {
                let written = index.value.trim_start_matches("$.");
                let known = names.steps.iter().any(|step| written.split(['.', '[']).next() == Some(step));
                if !known {
                    let message = format!(
                        "`index` must name an earlier step, found `{}`; there are {}",
                        index.value,
                        list(names.steps.iter().copied())
                    );
                    let problem = Diagnostic::error(Code::UnknownStep, index.span, message);
                    self.problems.push(problem.with_nearest(&index.value, names.steps.iter().copied()));
                    return None;
                }
                let index = self.path(&format!("$.{written}"), index)?;
                let matched = self.path(&format!("$.{}", matched.value.trim_start_matches("$.")), matched)?;
                let value = self.answer_or_text(value, names, arguments)?;
                let outputs =
                    outputs.iter().filter_map(|output: &OutputParameter| Some(output.name.as_ref()?.value.clone()));
                let lookup = Lookup { index: Fill::Answer(index), matched, value, outputs: outputs.collect() };
                Some((None, Step::Lookup(Box::new(lookup))))
            }
            StepKind::Interaction(written) => {
                let lowered =
                    self.interaction(written, At { place: step.span, names, used_as: scene.used_as }, arguments)?;
                Some((None, Step::Interaction(Box::new(lowered))))
            }
        }
    }

    fn mapping(
        &mut self,
        mapping: &Mapping,
        names: &Names<'_>,
        arguments: &mut Arguments,
    ) -> Option<(Vec<String>, Fill)> {
        let target = mapping.target.value.trim_start_matches("$.");
        let target: Vec<String> = target.split('.').map(str::to_owned).collect();
        Some((target, self.answer_or_text(&mapping.value, names, arguments)?))
    }

    /// `$.STEP.FIELD`, or a text with placeholders, whose arguments are added where the tool declares none itself.
    fn answer_or_text(&mut self, text: &Spanned<String>, names: &Names<'_>, arguments: &mut Arguments) -> Option<Fill> {
        let written = text.value.trim();
        if !written.starts_with('$') {
            let fill = names.value(written);
            for name in fill.arguments() {
                self.fed(name, text.span, arguments);
            }
            return Some(fill);
        }
        let path = self.path(written, text)?;
        let first = |step: &&str| {
            let rest = written.strip_prefix("$.").and_then(|rest| rest.strip_prefix(*step));
            let bracket = written.strip_prefix("$['").and_then(|rest| rest.strip_prefix(*step));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                || bracket.is_some_and(|rest| rest.starts_with("']"))
        };
        if !names.steps.iter().any(first) && written != "$" && written != "$." {
            let message = format!("`{written}` names no step before; there are {}", list(names.steps.iter().copied()));
            let given = written.trim_start_matches("$.").split(['.', '[']).next().unwrap_or_default();
            let problem = Diagnostic::error(Code::UnknownStep, text.span, message);
            self.problems.push(problem.with_nearest(given, names.steps.iter().copied()));
            return None;
        }
        Some(Fill::Answer(path))
    }

    /// A JSONPath; reported where it is none.
    pub(super) fn path(&mut self, written: &str, place: &Spanned<String>) -> Option<JsonPath> {
        match JsonPath::parse(written) {
            Ok(path) => Some(path),
            Err(problem) => {
                self.problems.push(Diagnostic::error(Code::InvalidJsonPath, place.span, problem.to_string()));
                None
            }
        }
    }
}

/// The step, the member and what the step gives, where a path asks an earlier step for a member that it does not give.
fn cut_member<'a>(path: &'a JsonPath, before: &'a IndexMap<String, Step>) -> Option<(&'a str, &'a str, Vec<&'a str>)> {
    let rest = path.as_str().trim().strip_prefix("$.")?;
    // A name may hold dots: the longest step that fits is meant.
    let (dot, (step, found)) =
        rest.rmatch_indices('.').find_map(|(dot, _)| Some((dot, before.get_key_value(rest.get(..dot)?)?)))?;
    let member = rest.get(dot + 1..)?.split(['.', '[']).next()?;
    // `length` may be that of a list, and a function is no member.
    if member.is_empty() || member == "length" || member.contains(['*', '(']) {
        return None;
    }
    let kept: Vec<&str> = match found {
        Step::Call(operation) => operation.projection.iter().map(|(name, _)| name.as_str()).collect(),
        Step::Lookup(lookup) => lookup.outputs.iter().map(String::as_str).collect(),
        Step::Interaction(_) => Vec::new(),
    };
    (!kept.is_empty() && !kept.contains(&member)).then_some((step.as_str(), member, kept))
}
