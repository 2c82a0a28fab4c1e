/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two special functions that intervals need, to about ten digits. */
#ifndef BIFOCAL_COMMON_SPECIAL_H
#define BIFOCAL_COMMON_SPECIAL_H

/* Regularised incomplete beta function I_x(a, b); a, b > 0, x in [0, 1]. */
double beta_cdf(double x, double a, double b);
/* The x with I_x(a, b) = p. */
double beta_quantile(double p, double a, double b);
/* Student's t: the value that p of the distribution lies below; df > 0, p in (0, 1). */
double student_quantile(double p, double df);

#endif
