//! Recurrences in f64 over a grid of sizes: the fused operators against the unrolled composition, and
//! their gradients against finite differences.

use crate::common::Case;
use crate::common::cases::recurrent::{CELLS, Cell, Problem, grid, with_options};
use crate::common::unrolled::Form;
use retape::ops::GruReset;

/// What the loss sees (outputs and last states), the loss, and the gradients of all inputs.
fn results(case: &Case) -> Vec<Vec<f64>> {
    let recorded = case.record().unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let mut session = case.on_reference(&recorded);
    session.replay().expect("the step replays");
    let kept = [recorded.y].into_iter().chain(recorded.loss).chain(recorded.grads);
    kept.map(|value| session.read_f64(value).expect("kept")).collect()
}

/// The largest difference relative to the largest number of its value.
fn fused_against_unrolled(problem: Problem) -> f64 {
    let fused = results(&problem.case());
    let unrolled = results(&Problem { form: Form::Unrolled, ..problem }.case());
    assert_eq!(fused.len(), unrolled.len());
    let mut worst = 0.0f64;
    for (number, (fused, unrolled)) in fused.iter().zip(&unrolled).enumerate() {
        assert_eq!(fused.len(), unrolled.len());
        let largest = unrolled.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (index, (f, u)) in fused.iter().zip(unrolled).enumerate() {
            let off = (f - u).abs();
            // A sum of parts of either sign is exact to the parts.
            assert!(
                off <= 1e-9 * u.abs() + 1e-13 * largest,
                "{problem:?}: element {index} of result {number} is {f} fused, {u} unrolled"
            );
            worst = worst.max(if largest > 0.0 { off / largest } else { 0.0 });
        }
    }
    worst
}

fn grid_of_routes(cell: Cell) {
    let all = grid(cell);
    let worst = all.iter().map(|&problem| fused_against_unrolled(problem)).fold(0.0, f64::max);
    println!("{cell:?}: {} problems, fused and unrolled apart by {worst:.1e} at most", all.len());
}

fn grid_of_differences(cell: Cell) {
    let all = grid(cell);
    all.iter().for_each(|problem| problem.case().check_gradients_at(8));
    println!("{cell:?}: {} problems agree with finite differences", all.len());
}

#[test]
fn simple_routes_agree() {
    grid_of_routes(Cell::Simple);
}

#[test]
fn lstm_routes_agree() {
    grid_of_routes(Cell::Lstm);
}

#[test]
fn gru_routes_agree() {
    grid_of_routes(Cell::Gru(GruReset::After));
    grid_of_routes(Cell::Gru(GruReset::Before));
}

#[test]
fn simple_gradients_agree_with_differences() {
    grid_of_differences(Cell::Simple);
}

#[test]
fn lstm_gradients_agree_with_differences() {
    grid_of_differences(Cell::Lstm);
}

#[test]
fn gru_gradients_agree_with_differences() {
    grid_of_differences(Cell::Gru(GruReset::After));
    grid_of_differences(Cell::Gru(GruReset::Before));
}

/// Every option, those without finite differences among them (truncation, masks, kinks).
#[test]
fn every_option_agrees_by_both_routes() {
    for cell in CELLS {
        for sizes in [[3, 7, 3, 5], [1, 2, 1, 1], [5, 4, 2, 33]] {
            for (lengths, reverse) in [(false, false), (true, true)] {
                let plain = Problem { lengths, reverse, ..Problem::new(cell, sizes) };
                let all = with_options(plain);
                let worst = all.iter().map(|&p| fused_against_unrolled(p)).fold(0.0, f64::max);
                println!("{cell:?} {sizes:?}: {} options, apart by {worst:.1e} at most", all.len());
            }
        }
    }
}

#[test]
fn every_smooth_option_agrees_with_differences() {
    for cell in CELLS {
        for sizes in [[1, 2, 1, 1], [5, 4, 2, 33]] {
            let cases: Vec<Case> =
                with_options(Problem::new(cell, sizes)).into_iter().map(Problem::case).collect();
            let smooth = cases.iter().filter(|case| case.smooth);
            println!("{cell:?} {sizes:?}: {} smooth of {} options", smooth.clone().count(), cases.len());
            smooth.for_each(|case| case.check_gradients_at(4));
        }
    }
}
