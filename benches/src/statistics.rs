//! Medians and ratios.

/// The middle value, or the mean of the two in the middle; `None` of nothing. A figure per request
/// of no requests is no number, and left out.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value that a quarter of the others do not exceed; between two of them, in proportion.
pub fn lower_quartile(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(values, 0.25)
}

fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let rank = share * values.len().checked_sub(1)? as f64;
    let (below, above) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    Some(below + (above - below) * rank.fract())
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
    fn a_quarter_lies_below_the_lower_quartile() {
        assert_eq!(lower_quartile([5.0, 1.0, 4.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(lower_quartile([1.0, 2.0]), Some(1.25));
        assert_eq!(lower_quartile([7.0]), Some(7.0));
        assert_eq!(lower_quartile([f64::NAN]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_skip_rounds_that_failed() {
        let ours = [Some(2.0), Some(40.0), None, Some(9.0)];
        let theirs = [Some(1.0), Some(20.0), Some(1.0), None];
        assert_eq!(paired_ratio(&ours, &theirs), Some(2.0));
    }
}
