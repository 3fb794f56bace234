/// The masks that keep the largest magnitudes of all arrays together: 0 for the share `sparsity` of the
/// elements, rounded, 1 for the others. What is 0 in the masks `before` goes first and stays so, be it
/// more than that; of equal magnitudes the first go.
pub(super) fn masks(weights: &[Vec<f64>], before: &[Vec<f64>], sparsity: f64) -> Vec<Vec<f64>> {
    let total: usize = weights.iter().map(Vec::len).sum();
    let pruned = (total as f64 * sparsity).round() as usize;
    let indices = |(array, weights): (usize, &Vec<f64>)| (0..weights.len()).map(move |index| (array, index));
    let mut order: Vec<(usize, usize)> = weights.iter().enumerate().flat_map(indices).collect();
    // The bits of magnitudes are in the order of the magnitudes.
    order.sort_by_key(|&(array, index)| (before[array][index] != 0.0, weights[array][index].abs().to_bits()));
    let mut masks = before.to_vec();
    for &(array, index) in order.iter().take(pruned) {
        masks[array][index] = 0.0;
    }
    masks
}

#[cfg(test)]
mod tests {
    use super::masks;

    #[test]
    fn the_smallest_go() {
        let weights = [vec![3.0, -0.5, 0.25], vec![-4.0, 0.1]];
        let whole = [vec![1.0; 3], vec![1.0; 2]];
        assert_eq!(masks(&weights, &whole, 0.4), [vec![1.0, 1.0, 0.0], vec![1.0, 0.0]]);
        assert_eq!(masks(&weights, &whole, 0.6), [vec![1.0, 0.0, 0.0], vec![1.0, 0.0]]);
        assert_eq!(masks(&weights, &whole, 0.0), whole);
        assert_eq!(masks(&[vec![1.0; 4]], &[vec![1.0; 4]], 0.5), [vec![0.0, 0.0, 1.0, 1.0]]);
    }

    #[test]
    fn what_is_pruned_goes_first_and_stays_so() {
        // The first weight is zero by itself.
        let weights = [vec![0.0, 7.0, 0.0, 8.0, -0.0]];
        let before = [vec![1.0, 1.0, 0.0, 1.0, 0.0]];
        for sparsity in [0.0, 0.2, 0.4] {
            assert_eq!(masks(&weights, &before, sparsity), before);
        }
        assert_eq!(masks(&weights, &before, 0.6), [vec![0.0, 1.0, 0.0, 1.0, 0.0]]);
        assert_eq!(masks(&weights, &before, 0.8), [vec![0.0, 0.0, 0.0, 1.0, 0.0]]);
    }
}
