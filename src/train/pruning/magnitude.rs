/// The masks that keep the largest magnitudes of all arrays together: 0 for the share `sparsity` of the
/// elements, rounded, 1 for the others. Of equal magnitudes the first go.
pub(super) fn masks(weights: &[Vec<f64>], sparsity: f64) -> Vec<Vec<f64>> {
    let total: usize = weights.iter().map(Vec::len).sum();
    let pruned = (total as f64 * sparsity).round() as usize;
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(total);
    for (array, weights) in weights.iter().enumerate() {
        order.extend((0..weights.len()).map(|index| (array, index)));
    }
    order.sort_by(|a, b| f64::total_cmp(&weights[a.0][a.1].abs(), &weights[b.0][b.1].abs()));
    let mut masks: Vec<Vec<f64>> = weights.iter().map(|w| vec![1.0; w.len()]).collect();
    for &(array, index) in &order[..pruned] {
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
        assert_eq!(masks(&weights, 0.4), [vec![1.0, 1.0, 0.0], vec![1.0, 0.0]]);
        assert_eq!(masks(&weights, 0.6), [vec![1.0, 0.0, 0.0], vec![1.0, 0.0]]);
        assert_eq!(masks(&weights, 0.0), [vec![1.0; 3], vec![1.0; 2]]);
        assert_eq!(masks(&[vec![1.0; 4]], 0.5), [vec![0.0, 0.0, 1.0, 1.0]]);
    }

    #[test]
    fn what_is_zero_goes_first() {
        let before = masks(&[vec![0.5, -0.1, 0.9, 0.2]], 0.5);
        let weights: Vec<f64> = [7.0, 0.0, 8.0, 0.0].to_vec();
        assert_eq!(before, masks(&[weights], 0.5));
    }
}
