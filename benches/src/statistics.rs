//! Medians and ratios.

/// The middle value, or the mean of the two in the middle; `None` of nothing. A figure per request
/// of no requests is no number, and left out.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The ratios of values that were measured in the same round.
pub fn ratios(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Vec<f64> {
    let pairs = ours.iter().zip(theirs).filter_map(|(ours, theirs)| Some(((*ours)?, (*theirs)?)));
    pairs.filter(|pair| pair.1 > 0.0).map(|(ours, theirs)| ours / theirs).collect()
}

/// The median of [`ratios`].
pub fn paired_ratio(ours: &[Option<f64>], theirs: &[Option<f64>]) -> Option<f64> {
    median(ratios(ours, theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wild_round_does_not_move_the_median() {
        assert_eq!(median([3.0, 1.0, 900.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0, 900.0]), Some(3.0));
        assert_eq!(median([f64::NAN, 2.0]), Some(2.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_skip_rounds_that_failed() {
        let ours = [Some(2.0), Some(40.0), None, Some(9.0)];
        let theirs = [Some(1.0), Some(20.0), Some(1.0), None];
        assert_eq!(paired_ratio(&ours, &theirs), Some(2.0));
    }
}
