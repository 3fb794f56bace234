//! Counts the instructions of AMD assembly as Mesa's compiler prints it.

/// The instructions of a stretch of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    pub all: usize,
    /// Fused multiply-adds of f32, two of them in one instruction counted twice.
    pub fma: usize,
    /// Loads from buffers.
    pub loads: usize,
}

impl Mix {
    fn of<'a>(instructions: impl IntoIterator<Item = &'a str>) -> Mix {
        let mut mix = Mix::default();
        instructions.into_iter().for_each(|instruction| mix.count(instruction));
        mix
    }

    fn count(&mut self, instruction: &str) {
        let name = instruction.split_whitespace().next().unwrap_or_default();
        let is_fma = |name: &str| {
            ["fma", "fmac", "fmamk", "fmaak", "mac", "mad", "madmk", "madak"]
                .iter()
                .any(|fma| name.strip_prefix(fma).is_some_and(|rest| rest.starts_with("_f32")))
        };
        self.all += 1;
        self.fma += match name.strip_prefix("v_dual_") {
            Some(_) => instruction
                .split("v_dual_")
                .skip(1)
                .filter(|half| is_fma(half.split_whitespace().next().unwrap_or_default()))
                .count(),
            None => usize::from(name.strip_prefix("v_").is_some_and(is_fma)),
        };
        let memory = ["buffer_load", "global_load", "flat_load"];
        self.loads += usize::from(memory.iter().any(|load| name.starts_with(load)));
    }
}

/// The loop of a program with the most multiply-adds for its size: among those that no other one is inside of, the
/// one with the most of them.
pub fn inner_loop(assembly: &str) -> Option<Mix> {
    let blocks = blocks(assembly);
    let loops = loops(&blocks);
    let innermost = loops.iter().filter(|&&(head, tail)| {
        !loops.iter().any(|&(h, t)| (h, t) != (head, tail) && head <= h && t <= tail)
    });
    let mix = |&(head, tail): &(usize, usize)| {
        Mix::of(blocks[head..=tail].iter().flat_map(|(_, lines)| lines.iter().copied()))
    };
    innermost.map(mix).max_by_key(|mix| mix.fma)
}

/// Labels and the instructions after each.
fn blocks(assembly: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks = vec![("", Vec::new())];
    for line in assembly.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(label) = line.strip_suffix(':').filter(|label| label.starts_with("BB")) {
            blocks.push((label, Vec::new()));
        } else if let Some((_, lines)) = blocks.last_mut().filter(|_| !line.is_empty()) {
            lines.push(line);
        }
    }
    blocks
}

/// First and last block of each loop: a branch back, the furthest of those to one head.
fn loops(blocks: &[(&str, Vec<&str>)]) -> Vec<(usize, usize)> {
    let mut loops: Vec<(usize, usize)> = Vec::new();
    for (tail, (_, lines)) in blocks.iter().enumerate() {
        for line in lines.iter().filter(|line| line.starts_with("s_cbranch") || line.starts_with("s_branch"))
        {
            let target = line.split_whitespace().nth(1).unwrap_or_default();
            let Some(head) = blocks[..=tail].iter().position(|(label, _)| *label == target) else { continue };
            match loops.iter_mut().find(|(known, _)| *known == head) {
                Some((_, furthest)) => *furthest = tail,
                None => loops.push((head, tail)),
            }
        }
    }
    loops
}
