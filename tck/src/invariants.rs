//! Rules that hold on every stream, whatever the chart.
