"""The command line. Nothing here imports torch: each command's module is imported when that command is run."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from ft._version import __version__
from ft.cli.common import HelpingGroup, no_plugin_option
from ft.cli.ending import end_stopped, end_with, explanation, flush_output
from ft.cli.printing import tell_traceback, tell_usage_error
from ft.machine.signals import StopAsked, end_on_signals
from ft.text.terminal import prepare_streams

COMMANDS = {
    "run": ("ft.cli.run:run", "Fine-tune a backbone on your images."),
    "plan": ("ft.cli.run:plan", "Show exactly what `ft run` would do."),
    "lr-find": ("ft.cli.lr_find:lr_find", "Find a learning rate: let it rise, see where the loss falls."),
    "sweep": ("ft.cli.sweep:sweep", "Run many trials over some settings, and see which are good."),
    "predict": ("ft.cli.predict:predict", "Classify images with a finished run."),
    "evaluate": ("ft.cli.evaluate:evaluate", "Measure a finished run on labelled images."),
    "export": ("ft.cli.export:export", "Write a finished run's model in a form that other programs read."),
    "average": ("ft.cli.together:average", "Average the weights of finished runs of one network."),
    "ensemble": ("ft.cli.together:ensemble", "Let finished runs answer together: the average of their answers."),
    "explain": ("ft.cli.explain:explain", "Draw where in images the answers of a finished run come from."),
    "serve": ("ft.cli.serve:serve", "Answer about images over HTTP with a finished run, and on a page."),
    "data": ("ft.cli.data:data", "Look at images before a run does."),
    "report": ("ft.cli.report:report", "Write the page of a finished run, report.html."),
    "runs": ("ft.cli.runs:runs", "List the runs of a folder with what each came to."),
    "recipes": ("ft.cli.recipes:recipes", "List and show ways to train, for `ft run --recipe NAME`."),
    "probe": ("ft.cli.probe:probe", "Rank backbones on your images, before any training."),
    "compare": ("ft.cli.compare:compare", "Compare finished runs: figures, chance, what was asked for."),
    "models": ("ft.cli.models:models", "List backbones; `ft models show NAME` describes one."),
    "weights": ("ft.cli.weights:weights", "Fetch, check and carry weight files."),
    "cache": ("ft.cli.cache:cache", "List, check and remove features kept on disk."),
    "plugins": ("ft.cli.plugins:plugins", "List what is installed; `ft plugins new` starts your own."),
    "describe": ("ft.cli.plugins:describe", "Explain a component and its settings."),
}


class LazyGroup(HelpingGroup):
    """A group that knows its commands' names and one-line helps, and imports a command only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click's own asks get_command for every command's help, which would import them all.
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from ft.errors import did_you_mean

            ctx.fail(f"no command '{args[0]}'.{did_you_mean(args[0], COMMANDS)} Commands: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="ft")
@no_plugin_option
def cli() -> None:
    """Fine-tune any pretrained vision backbone on your own images.

    \b
      ft run --backbone torchvision:resnet18 --freeze all --data ./photos
      ft plan --backbone torchvision:vgg16 --freeze 'regex:features.*' --data ./photos
    """


def main() -> None:
    """Run the command line. A user's mistake, or what the machine lacks, is one message and exit code 2, and what is
    not as good as was asked for 3; a bug is a traceback. Signals end it with one line and 128 + the signal's number.
    """
    if "_FT_COMPLETE" in os.environ:
        import_module("ft.cli.shells")  # it teaches click to complete paths, and after a colon in bash
    prepare_streams()
    sys.excepthook = tell_traceback
    with end_on_signals():
        try:
            try:
                ended = cli.main(prog_name="ft", standalone_mode=False)
            finally:
                flush_output()
            sys.exit(ended)
        except StopAsked as asked:
            end_stopped(asked)
        except BrokenPipeError:
            raise SystemExit(1) from None  # as click ends where whoever reads, such as head, has read enough
        except click.ClickException as error:
            tell_usage_error(error)
            sys.exit(error.exit_code)
        except Exception as error:
            if not (message := explanation(error)):
                raise
            end_with(message, getattr(error, "exit_code", 2))
