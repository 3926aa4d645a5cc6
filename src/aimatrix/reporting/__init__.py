"""The report: one self-contained HTML page from any artefacts of the pipeline (`page.render`)."""
