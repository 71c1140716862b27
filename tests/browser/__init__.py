import pytest

pytest.register_assert_rewrite("tests.browser.tab")  # its assertions are as telling as those of the tests
