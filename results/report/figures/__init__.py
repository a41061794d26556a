"""The figures of a report: what Plotly is to draw, and the words around it."""
