"""Judge a recipe of training by cameras of countries that it has not seen: leave one source out, in folds."""
