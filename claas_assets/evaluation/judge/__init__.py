"""judge: a model that answers questions about answers, where no program can."""

from claas_assets.evaluation.judge.client import ChatModel, chat_model_at, judge_of_environment
from claas_assets.evaluation.judge.drafting import draft_prompts
from claas_assets.evaluation.judge.judging import judgements_for
