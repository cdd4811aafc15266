//! Figures over time as a row of bars: `▁▁▃█·▂`. A dot stands for a part without figures.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws figures as bars from zero; the highest figure has the highest bar.
pub(crate) fn draw(figures: &[Option<f64>]) -> String {
    let most = figures.iter().flatten().copied().fold(0.0, f64::max);
    figures.iter().map(|figure| figure.map_or('·', |figure| choose_bar(figure, most))).collect()
}

/// Draws counts as bars; a part with the count 0 is a dot.
pub(crate) fn draw_counts(counts: &[f64]) -> String {
    let figures: Vec<_> = counts.iter().map(|count| (*count > 0.0).then_some(*count)).collect();
    draw(&figures)
}

fn choose_bar(figure: f64, most: f64) -> char {
    if most <= 0.0 || figure <= 0.0 || !figure.is_finite() {
        return BARS[0];
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 8")]
    let bar = (figure / most * 8.0).ceil() as usize;
    BARS[bar.clamp(1, 8) - 1]
}

/// Shortens a series to at most this many parts, each the mean of its figures.
pub(crate) fn shorten(figures: &[Option<f64>], parts: usize) -> Vec<Option<f64>> {
    if figures.len() <= parts || parts == 0 {
        return figures.to_vec();
    }
    let bound = |part: usize| part * figures.len() / parts;
    let mean = |part: &[Option<f64>]| {
        let known: Vec<f64> = part.iter().flatten().copied().collect();
        #[expect(clippy::cast_precision_loss, reason = "a number of figures")]
        let count = known.len() as f64;
        (count > 0.0).then(|| known.iter().sum::<f64>() / count)
    };
    (0..parts).map(|part| mean(&figures[bound(part)..bound(part + 1)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_rise_with_figures_and_gaps_are_dots() {
        assert_eq!(draw(&[Some(1.0), None, Some(8.0), Some(4.0), Some(0.0)]), "▁·█▄▁");
        assert_eq!(draw_counts(&[0.0, 2.0, 2.0]), "·██");
        assert_eq!(draw(&[Some(f64::NAN), Some(f64::INFINITY)]), "▁▁");
        assert_eq!(draw(&[]), "");
    }

    #[test]
    fn a_long_series_is_shortened_to_means() {
        let series: Vec<_> = (0..10).map(|n| Some(f64::from(n))).collect();
        assert_eq!(shorten(&series, 5), [Some(0.5), Some(2.5), Some(4.5), Some(6.5), Some(8.5)]);
        assert_eq!(shorten(&[None, None, Some(1.0), Some(3.0)], 2), [None, Some(2.0)]);
        assert_eq!(shorten(&series[..2], 5).len(), 2);
    }
}
