"""Reports: a run's page, the comparison of several runs, the curve in a window, and HTML views for notebooks.

Everything here reads a run's folder (`run`) and says or draws what is in it. Texts live in `facts` and in
`templates`, charts in `figures` and `drawing`. Nothing here trains, and training does not import it.
"""
