"""`python -m qtquant_app` is `qtquant`."""

from qtquant_app.cli.main import console

if __name__ == "__main__":
    console()
